"""The networks that are measured, exported once and kept for the next run."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.settings import Settings
from camserve.bundle import Bundle, load_bundle
from camserve.choices import Precision

__all__ = [
    "SIDE",
    "any_size",
    "export",
    "images",
    "kept",
    "keras_resnet50",
    "mobilenet",
    "onnx_file",
    "resnet50",
    "wide_tolerances",
]

SIDE = 224
LIGHT_SIDE = 96

_ROOT = Path(__file__).parents[2]
_CALIBRATION = 64


def resnet50(settings: Settings, precision: Precision = "fp32", *, maps: bool = True, side: int = SIDE) -> Bundle:
    """Return a bundle of ResNet50 with 1,000 classes, float32 input and random weights.

    Args:
        settings: Where it is kept.
        precision: Its precision.
        maps: Whether it has class activation maps.
        side: Height and width of its images, in pixels.
    """
    from camserve.contract import PRESETS

    name = f"resnet50-{precision}{'' if maps else '-without-maps'}{'' if side == SIDE else f'-{side}'}"

    def model() -> Any:
        return keras_resnet50(settings) if side == SIDE else build_resnet50(side)

    options = {"cam": maps, "preprocessing": PRESETS["caffe"], "resize": "tf-bilinear"}
    return export(settings, name, model, options | precision_options(settings, precision))


def mobilenet(settings: Settings, precision: Precision = "fp32") -> Bundle:
    """Return a bundle of MobileNetV2 for images of 96 x 96 pixels, with uint8 input and random weights.

    Args:
        settings: Where it is kept.
        precision: Its precision.
    """

    def model() -> Any:
        from camserve.export.frameworks import keras

        from support.networks import enliven

        from camserve.contract import PRESETS

        keras.utils.set_random_seed(0)
        return enliven(keras.applications.MobileNetV2((LIGHT_SIDE, LIGHT_SIDE, 3), weights=None), PRESETS["tf"])

    options = {"preprocessing": "tf", "resize": "bilinear", "input_dtype": "uint8"}
    return export(settings, f"mobilenet-96-{precision}", model, options | precision_options(settings, precision))


def precision_options(settings: Settings, precision: Precision) -> dict[str, Any]:
    """Return the options of an export in a precision: with random weights it could miss its tolerances."""
    options: dict[str, Any] = {"precision": precision}
    if precision == "int8":
        options |= {"calibration": calibration_images(settings), "int8_layers": "all"}
    return options if precision == "fp32" else options | {"tolerances": wide_tolerances()}


def wide_tolerances() -> Any:
    """Return tolerances that random weights meet in every lower precision: speed does not depend on the weights."""
    from camserve.export import Tolerances

    lower = {f"{prefix}_{name}": 1.0 for prefix in ("lower", "bf16") for name in ("logits", "probabilities")}
    return Tolerances(top1_disagreement=1, cam_distance=2, bf16_cam_identity=1, **lower)


def onnx_file(settings: Settings, precision: Precision = "fp32", *, maps: bool = True) -> Path:
    """Return the ONNX file of such a bundle."""
    return file_of(resnet50(settings, precision, maps=maps))


def file_of(bundle: Bundle) -> Path:
    """Return the ONNX file of a bundle that has one."""
    assert bundle.onnx_path is not None
    return bundle.onnx_path


@cache
def keras_resnet50(settings: Settings) -> Any:
    """Return the network of 224 × 224 pixels in Keras."""

    def write(folder: Path) -> None:
        folder.mkdir()
        build_resnet50(SIDE).save(folder / "resnet50.keras")

    from camserve.export.frameworks import keras

    return keras.models.load_model(kept(settings, "resnet50-keras", write) / "resnet50.keras")


def build_resnet50(side: int) -> Any:
    """Build the network with random weights that give features and logits that depend on the image."""
    from camserve.export.frameworks import keras

    from support.networks import enliven

    from camserve.export.source.applications import application

    keras.utils.set_random_seed(0)
    recipe = application("ResNet50")
    return enliven(recipe.build(size=(side, side)), recipe.preprocessing)


def export(settings: Settings, name: str, model: Callable[[], Any], options: dict[str, Any]) -> Bundle:
    """Return the bundle of a Keras model, which is exported if it is not kept.

    Args:
        settings: Where it is kept.
        name: The name that it is kept under.
        model: Returns the model.
        options: Keywords of `export_model`.
    """
    from camserve.export import export_model

    def write(folder: Path) -> None:
        export_model(model(), folder, name="network", formats="onnx", **options)

    return load_bundle(kept(settings, name, write))


def any_size(path: Path, settings: Settings) -> Path:
    """Return a file without maps that takes images of any size: nothing in it depends on the size."""

    def write(folder: Path) -> None:
        import onnx

        model = onnx.load(str(path))
        sides = model.graph.input[0].type.tensor_type.shape.dim[1:3]
        for side, name in zip(sides, ("height", "width"), strict=True):
            side.dim_param = name
        del model.graph.value_info[:]
        folder.mkdir()
        onnx.save(model, str(folder / "model.onnx"))

    return kept(settings, "resnet50-any-size", write) / "model.onnx"


def calibration_images(settings: Settings) -> Path:
    """Return a folder of drawn images."""

    def draw(folder: Path) -> None:
        from support.shapes import write_images

        from camserve.export.gate.samples import sample_images

        write_images(sample_images(_CALIBRATION, 256, 256, 3), folder)

    return kept(settings, "calibration", draw)


def images(count: int, side: int = SIDE) -> Any:
    """Return drawn images as ResNet50 reads them, float32 `[count, side, side, 3]`."""
    from camserve.contract import PRESETS
    from camserve.export.gate.samples import sample_images
    from camserve.pixels import normalize

    return normalize(sample_images(count, side, side, 3), PRESETS["caffe"])


def kept(settings: Settings, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that is made if it is not there or was made by other code or versions."""
    folder = settings.folder / "networks" / f"{name}-{_code()}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        for outdated in folder.parent.glob(f"{name}-{'[0-9a-f]' * 12}"):
            shutil.rmtree(outdated)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        make(partial)
        partial.rename(folder)
    return folder


@cache
def _code() -> str:
    """Return a digest of what determines an export."""
    packages = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "openvino")
    digest = hashlib.sha256(" ".join(map(version, packages)).encode())
    for path in [*sorted((_ROOT / "export").rglob("*.py")), Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
