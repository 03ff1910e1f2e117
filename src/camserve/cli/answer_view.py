"""How answers are printed: as a table, and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from camserve.cli.console import print_line
from camserve.cli.tables import print_table

if TYPE_CHECKING:
    from camserve.clients import ActivationMap, Classification, Prediction

__all__ = ["answer_document", "map_document", "print_answer"]


def print_answer(image: Path, answer: Classification) -> None:
    """Print the classes of an answer as a table."""
    rows = [(f"{prediction.probability:.2%}", prediction.label, prediction.index) for prediction in answer.top]
    print_line(f"{image}: {answer.model}, version {answer.version}")
    print_table(("probability ", "label", "class "), rows)


def answer_document(answer: Classification) -> dict[str, Any]:
    """Return an answer as JSON."""
    return {
        "model": answer.model,
        "version": int(answer.version) if answer.version.isdecimal() else answer.version,  # a proxy may send anything
        "top": [_prediction_document(each) for each in answer.top],
    }


def map_document(cam: ActivationMap, path: Path) -> dict[str, Any]:
    """Return a map and its file as JSON; positions are in pixels of the image as it was read."""
    box = cam.bbox()
    return {
        "cam": str(path),
        "cam_class": cam.index,
        "cam_method": cam.method,
        "cam_peak": list(cam.peak),
        "cam_box": None if box is None else list(box),
    }


def _prediction_document(prediction: Prediction) -> dict[str, Any]:
    document = {"index": prediction.index, "label": prediction.label, "probability": prediction.probability}
    return document if prediction.identifier is None else {**document, "identifier": prediction.identifier}
