"""The network that is measured."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from camserve.choices import Precision

__all__ = ["export"]


def export(folder: Path, precision: Precision) -> Path:
    """Export ResNet50 with random weights."""
    from camserve.export import Tolerances, export_model
    from camserve.export.gate.samples import sample_images

    calibration = folder / f"calibration-{precision}"
    calibration.mkdir()
    for number, pixels in enumerate(sample_images(32, 256, 256, 3)):
        Image.fromarray(pixels).save(calibration / f"{number:02}.png")
    bundle = export_model(
        "resnet50",
        folder / precision,
        weights="none",
        labels=None,
        formats="onnx",
        precision=precision,
        input_dtype="uint8",
        calibration=calibration if precision == "int8" else None,
        # Speed does not depend on the weights, and with random weights a lower precision can miss the tolerances.
        tolerances=Tolerances(top1_disagreement=1, cam_distance=2, lower_logits=1, lower_probabilities=1),
    )
    return bundle.path
