"""The exported networks that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image
from support.gpu.results import Results

from camserve.choices import Precision
from camserve.errors import CamserveError

__all__ = ["Variant", "find_bundles", "variants"]

_CALIBRATION_IMAGES = 32


@dataclass(frozen=True)
class Variant:
    """An export of the network: its precision, and whether it has maps."""

    precision: Precision
    maps: bool = True

    @property
    def name(self) -> str:
        """Name of its bundle."""
        return f"{self.precision}{'' if self.maps else '-without-maps'}"


def variants(precisions: Sequence[Precision]) -> list[Variant]:
    """Return the variants to measure: each precision with maps, and one of them also without."""
    plain = "fp16" if "fp16" in precisions else precisions[0]
    return [*map(Variant, precisions), Variant(plain, maps=False)]


def find_bundles(wanted: Sequence[Variant], folder: Path, source: str, results: Results) -> dict[Variant, Path]:
    """Return the folders of the bundles; those that are missing are exported, with random weights."""
    found = {}
    for variant in wanted:
        bundle = folder / variant.name
        if bundle.is_dir():
            found[variant] = bundle
            continue
        if find_spec("tensorflow") is None:
            how = f"export it on a host that has it: python benchmarks/gpu.py --export --bundles {folder}"
            results.omit("export", variant.name, f"no bundle {bundle}, and TensorFlow is not installed; {how}")
            continue
        try:
            _export(variant, bundle, source)
        except CamserveError as error:
            results.omit("export", variant.name, error.message)
        else:
            found[variant] = bundle
    return found


def _export(variant: Variant, bundle: Path, source: str) -> None:
    from camserve.export import Tolerances, export_model
    from camserve.export.gate.samples import sample_images

    images = bundle.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(sample_images(_CALIBRATION_IMAGES, 256, 256, 3)):
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    int8 = variant.precision == "int8"
    export_model(
        source,
        bundle,
        weights="none",
        formats="onnx",
        input_dtype="uint8",
        precision=variant.precision,
        calibration=images if int8 else None,
        int8_target="tensorrt" if int8 else "cpu",
        cam=variant.maps,
        # Speed does not depend on the weights, and with random weights a lower precision can miss the tolerances.
        tolerances=Tolerances(top1_disagreement=1, cam_distance=2, lower_logits=1, lower_probabilities=1),
    )
