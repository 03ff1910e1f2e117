"""Classify one image and draw its class activation map.

    python examples/one_image.py cat.jpg --url localhost:8001 --model resnet50 --out cat-map.png

Prints the most probable classes, and the peak and the bounding box of the first class's map in pixels of the image.
Writes the map, drawn over the image, to a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from camserve.clients import Classifier


def main() -> None:
    """Classify one image and draw the map of its most probable class."""
    parser = argparse.ArgumentParser(description="Classify one image and draw its class activation map.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton (default: localhost:8001)")
    parser.add_argument("--model", default="resnet50", help="name of the model (default: resnet50)")
    parser.add_argument("--out", type=Path, default=Path("map.png"), help="output file (default: map.png)")
    arguments = parser.parse_args()

    with Classifier(arguments.url, arguments.model) as classifier:
        result = classifier.classify(arguments.image, top=5, cam=True)

    print(f"{arguments.image}: {result.model}, version {result.version}")
    for prediction in result.top:
        print(f"  {prediction.probability:7.2%}  {prediction.label}")
    best = result.cams[0]
    print(f"{best.label}: map peak at {best.peak}, bounding box {best.bbox()}")
    best.overlay(arguments.image).save(arguments.out)
    print(f"Map: {arguments.out}")


if __name__ == "__main__":
    main()
