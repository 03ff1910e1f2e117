"""One image: what it shows, and where in it the model sees that.

    python examples/one_image.py cat.jpg --url localhost:8001 --model resnet50 --out cat-map.png

It prints the best classes with their probabilities, where the map of the best class is greatest and which box it marks
(both in pixels of the image), and writes the map over the image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from camserve.clients import Classifier


def main() -> None:
    """Asks a served model for one image."""
    parser = argparse.ArgumentParser(description="Classify one image and draw why.")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--out", type=Path, default=Path("map.png"), help="where the drawn map goes")
    arguments = parser.parse_args()

    with Classifier(arguments.url, arguments.model) as classifier:
        result = classifier.classify(arguments.image, top=5, cam=True)

    print(f"{arguments.image} by {result.model}, version {result.version}:")
    for prediction in result.top:
        print(f"  {prediction.probability:7.2%}  {prediction.label}")
    best = result.cams[0]
    print(f"{best.label} is seen most at {best.peak}, within {best.bbox()}")
    best.overlay(arguments.image).save(arguments.out)
    print(f"drawn into {arguments.out}")


if __name__ == "__main__":
    main()
