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

__all__ = ["CLASSES", "SIDE", "calibration_images", "images", "kept", "keras_resnet50", "onnx_file", "resnet50"]

CLASSES = 1000
SIDE = 224

_ROOT = Path(__file__).parents[2]
_CALIBRATION = 64


def resnet50(settings: Settings, precision: Precision = "fp32", *, maps: bool = True) -> Bundle:
    """Return a bundle of ResNet50 of 224 × 224 pixels with 1,000 classes, float32 input and random weights.

    Args:
        settings: Where it is kept.
        precision: Its precision.
        maps: Whether it has class activation maps.
    """

    def export(folder: Path) -> None:
        from camserve.export import Tolerances, export_model

        quantized: dict[str, Any] = {}
        if precision == "int8":
            quantized = {"calibration": calibration_images(settings), "int8_layers": "all"}
        export_model(
            keras_resnet50(settings),
            folder,
            name="resnet50",
            preprocessing="caffe",
            resize="tf-bilinear",
            cam=maps,
            formats="onnx",
            precision=precision,
            # With random weights a lower precision can miss the tolerances, and speed does not depend on the weights.
            tolerances=Tolerances(top1_disagreement=1, cam_distance=2, lower_logits=1, lower_probabilities=1),
            **quantized,
        )

    return load_bundle(kept(settings, f"resnet50-{precision}{'' if maps else '-without-maps'}", export))


def onnx_file(settings: Settings, precision: Precision = "fp32", *, maps: bool = True) -> Path:
    """Return the ONNX file of such a bundle."""
    path = resnet50(settings, precision, maps=maps).onnx_path
    assert path is not None
    return path


@cache
def keras_resnet50(settings: Settings) -> Any:
    """Return the network in Keras; its random weights give features and logits that depend on the image."""

    def build(folder: Path) -> None:
        from camserve.export.frameworks import keras

        from support.networks import enliven

        from camserve.export import RECIPES

        keras.utils.set_random_seed(0)
        folder.mkdir()
        recipe = RECIPES["resnet50"]
        enliven(recipe.build(), recipe.preprocessing).save(folder / "resnet50.keras")

    from camserve.export.frameworks import keras

    return keras.models.load_model(kept(settings, "keras-resnet50", build) / "resnet50.keras")


def calibration_images(settings: Settings) -> Path:
    """Return a folder of drawn images."""

    def draw(folder: Path) -> None:
        from PIL import Image

        from camserve.export.gate.samples import sample_images

        folder.mkdir()
        for number, pixels in enumerate(sample_images(_CALIBRATION, 256, 256, 3)):
            Image.fromarray(pixels).save(folder / f"{number:02}.png")

    return kept(settings, "calibration", draw)


def images(count: int, side: int = SIDE) -> Any:
    """Return drawn images as the network reads them, float32 `[count, side, side, 3]`, none of the calibration."""
    from camserve.contract import PRESETS
    from camserve.export.gate.samples import sample_images
    from camserve.pixels import normalize

    return normalize(sample_images(_CALIBRATION + count, side, side, 3)[_CALIBRATION:], PRESETS["caffe"])


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
    digest = hashlib.sha256(" ".join(version(package) for package in ("keras", "tensorflow", "tf2onnx")).encode())
    for path in [*sorted((_ROOT / "export").rglob("*.py")), Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
