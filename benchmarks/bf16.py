"""Measure how far bf16 in OpenVINO is from Keras: the metrics of the parity gate, whatever its tolerances.

Usage: python benchmarks/bf16.py [--networks FOLDER] [SOURCE ...]      (about two minutes per network)

Sources are recipes and `keras:NAME`, with random weights, and names of networks trained on drawn shapes, such as
MobileNetV2, which are in `--networks` or trained first (`drawn_networks.py`, 5 to 20 minutes each). Those are measured
on images held out of 400 drawings, the others on the images that the gate generates.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import drawn_networks
from support.shapes import write_images

from camserve.export import Tolerances, export_model

SOURCES = (
    "resnet50",
    "keras:EfficientNetB0",
    "keras:DenseNet121",
    "keras:ConvNeXtTiny",
    "MobileNetV2",
    "MobileNetV3Small",
)
METRICS = ("top1_disagreement", "logits", "probabilities", "cam_distance", "cam", "cam_identity")
ANY = Tolerances(top1_disagreement=1, cam_distance=2, bf16_logits=1e6, bf16_probabilities=1, bf16_cam_identity=1e6)
CALIBRATION, CALIBRATION_SEED = 400, 700


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=Path, default=Path("build/networks"))
    parser.add_argument("sources", nargs="*", default=SOURCES)
    arguments = parser.parse_args()
    columns = ("network", "images", *METRICS)
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for source in arguments.sources:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {source} | {' | '.join(row(source, arguments.networks, Path(folder)))} |", flush=True)


def row(source: str, networks: Path, folder: Path) -> list[str]:
    """Export a network in bf16 and return the number of images and each metric."""
    options: dict[str, Any] = {"precision": "bf16", "formats": "onnx", "tolerances": ANY}
    if source in drawn_networks.PRESETS:
        model = drawn_networks.load_or_train(source, networks)
        images, _ = drawn_networks.draw(CALIBRATION, CALIBRATION_SEED)
        options |= {"preprocessing": drawn_networks.PRESETS[source], "resize": "nearest"}
        options["calibration"] = write_images(images, folder / "images")
    else:
        model, options["weights"] = source, "none"
    report = export_model(model, folder / "bundle", **options).report
    measured = {each["figure"]: each["value"] for each in report["parity"] if each["format"] == "openvino"}
    kind = {"drawn": "generated"}.get(report["measured_on"]["kind"], report["measured_on"]["kind"])
    values = [f"{measured[name]:.1e}" if name in measured else "–" for name in METRICS]
    return [f"{report['measured_on']['pictures']} {kind}", *values]


if __name__ == "__main__":
    main()
