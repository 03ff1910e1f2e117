"""What the page is told about images, as JSON: the decoded image, the classes, and the maps as numbers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from camserve.clients import ActivationMap, Classification, load_image
from camserve.clients.answers.map_drawing import display_size, encode_png
from camserve.errors import CamserveError
from camserve.heatmap import resize_for_display
from camserve.images.decode_options import DecodeOptions
from camserve.images.placement import scale_box
from camserve.view.versions import Versions

__all__ = ["classify", "describe_version", "error_document", "map_of_class"]

_LEAST_CLASSES = 5


def describe_version(versions: Versions, version: str) -> dict[str, Any]:
    """Return the labels of a version, and of which classes it returns maps.

    Raises:
        CamserveError: If it is not served.
    """
    classifier = versions.classifier(version)
    cam = classifier.contract.cam
    return {
        "version": version,
        "labels": classifier.labels,
        "percent": classifier.contract.activation != "linear",
        "maps": None if cam is None else {"method": cam.method, "all_classes": cam.all_classes},
    }


def classify(versions: Versions, chosen: Sequence[str], data: bytes, decode_options: DecodeOptions) -> dict[str, Any]:
    """Classify an image with several versions.

    Args:
        versions: The versions.
        chosen: Those to classify with; the failure of one is its answer.
        data: The bytes of the image file.
        decode_options: How it is decoded, as the classifiers do.

    Raises:
        ImageError: If it cannot be decoded.
    """
    return {
        "image": _displayed(data, decode_options),
        "answers": [_answer(versions, version, data) for version in chosen],
    }


def map_of_class(versions: Versions, version: str, class_: int, data: bytes) -> dict[str, Any]:
    """Return the map of one class of an image.

    Raises:
        CamserveError: If the model returns no map of this class, or the image cannot be classified.
    """
    return _map(versions.classifier(version).cam(data, class_))


def error_document(error: CamserveError) -> dict[str, Any]:
    """Return an error as the page shows it."""
    return {"type": type(error).__name__, "message": error.message, "hint": error.hint}


def _answer(versions: Versions, version: str, data: bytes) -> dict[str, Any]:
    try:
        classifier = versions.classifier(version)
        cam = classifier.contract.cam
        top = _LEAST_CLASSES if cam is None else max(_LEAST_CLASSES, cam.top_k)
        return _classes(classifier.classify(data, top=top, cam=cam is not None))
    except CamserveError as error:
        return {"version": version, "error": error_document(error)}


def _classes(result: Classification) -> dict[str, Any]:
    return {
        "version": result.version,
        "classes": [
            {
                "index": each.index,
                "label": each.label,
                "identifier": each.identifier,
                "probability": each.probability,
            }
            for each in result.top
        ],
        "maps": [_map(cam) for cam in result.cams],
    }


def _map(cam: ActivationMap) -> dict[str, Any]:
    height, width = cam.placement.original
    shown = display_size(height, width)
    return {
        "index": cam.index,
        "label": cam.label,
        "probability": cam.probability,
        "grid": cam.grid.tolist(),
        "box": scale_box(cam.placement.box, (width, height), (shown[1], shown[0])),
        "input": cam.input_size,
    }


def _displayed(data: bytes, decode_options: DecodeOptions) -> dict[str, Any]:
    """Return the image as the model gets it, before it is fitted to the input, at a size for the screen."""
    image = load_image(data, decode_options)
    original = (image.width, image.height)
    shown = resize_for_display(image, display_size(image.height, image.width))
    shown.info.clear()  # metadata, such as a color profile, which a browser would apply and the model does not
    png = base64.b64encode(encode_png(shown, {})).decode("ascii")
    return {"source": f"data:image/png;base64,{png}", "size": shown.size, "original": original}
