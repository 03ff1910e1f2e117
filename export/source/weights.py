"""Loading of weights from a file into a network, or the layer and the shapes that do not fit."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from camserve.errors import SourceError
from camserve.export.framework_errors import reason
from camserve.export.source.archive import check_archive
from camserve.export.source.contents import named, weights_kind
from camserve.export.source.hdf5 import check_hdf5
from camserve.export.source.hdf5_weights import Layout, StoredLayer, hdf5_layout, is_nested, stored_layers, weight_name
from camserve.text import count

__all__ = ["all_weights_required", "load_weights", "refresh_constants"]

_INCOMPLETE = ("freshly-initialized", "could not be loaded")

_SAVE_WHOLE = "Build the network in Python, load its weights there, and save it: model.save('model.keras')"
_BY_PATH = "Save them by the path of each layer, and pass that file: model.save_weights('model.weights.h5')"
_OTHER_NETWORK = f"Pass the weights of the same network, or b{_SAVE_WHOLE[1:]}"


def load_weights(model: Any, path: Path, origin: str, *, classes_option: bool = False) -> None:
    """Load weights into a model of Keras or tf_keras, which is unchanged if they do not fit.

    Args:
        model: The model.
        path: A `.keras` archive, or an HDF5 file with a whole model or only weights, under any name.
        origin: What the model is, for messages.
        classes_option: Whether `--classes` can change the model's number of classes.

    Raises:
        SourceError: If the file is damaged, or the weights do not fit.
    """
    kind = weights_kind(path)
    if kind == "keras":
        check_archive(path)
        layout: Layout | None = "by-path"
    else:
        check_hdf5(path, str(path), path.stat().st_size)
        layout = hdf5_layout(path)
    suffix = ".keras" if kind == "keras" else ".weights.h5" if layout == "by-path" else ".h5"
    if layout != "by-path":
        _check_order(model, path, origin)
    previous = model.get_weights()
    try:
        with named(path, suffix) as usable:
            _load(model, usable)
    except Exception as error:  # noqa: BLE001  h5py, zipfile and Keras raise different exceptions
        model.set_weights(previous)
        problem, hint = _difference(model, path, layout, classes_option=classes_option) or (
            reason(error),
            _OTHER_NETWORK,
        )
        raise SourceError(f"cannot load the weights in {path} into {origin}: {problem}", hint=hint) from None


@contextlib.contextmanager
def all_weights_required() -> Iterator[None]:
    """Turn Keras's warning that a layer of a model file keeps random weights into an error.

    Raises:
        ValueError: If Keras gave such a warning.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        if any(words in str(warning.message) for words in _INCOMPLETE):
            raise ValueError(str(warning.message))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def refresh_constants(model: Any) -> None:
    """Compute the constants of every Normalization from its weights.

    Keras's HDF5 reader does not in nested models: they would normalize with mean 0 and variance 1.
    """
    for layer in model._flatten_layers():
        if layer.built and hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _load(model: Any, path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.load_weights(str(path))
    refresh_constants(model)
    if caught:  # Keras only warns of layers for which the file has no weights
        raise ValueError(str(caught[0].message))


def _check_order(model: Any, path: Path, origin: str) -> None:
    """Refuse weights in another order than the network's, which Keras would load into the wrong places.

    They are so if a nested model was partly frozen after its architecture was saved, because trainable weights come
    first.
    """
    for stored, (expected, name) in zip(stored_layers(path), _by_order(model), strict=False):
        if stored.names != expected.names and sorted(stored.names) == sorted(expected.names):
            theirs, needed = next(pair for pair in zip(stored.names, expected.names, strict=True) if pair[0] != pair[1])
            raise SourceError(
                f"cannot load the weights in {path} into {origin}: those of layer {name!r} are in another order, with "
                f"{theirs!r} in place of {needed!r}, because other layers inside it were trainable",
                hint=_BY_PATH,
            )


def _difference(model: Any, path: Path, layout: Layout | None, *, classes_option: bool) -> tuple[str, str] | None:
    """Return the first difference between file and model, and a hint; None if none is found."""
    stored = stored_layers(_hdf5(path))
    by_path = layout == "by-path"
    expected = {layer: name for layer, name in (_by_path(model) if by_path else _by_order(model)) if layer.shapes}
    if is_nested(stored) and not is_nested(expected):
        return "the file is of a network with another one inside it, such as a backbone", _SAVE_WHOLE
    if len(stored) != len(expected):
        return (
            f"the file has weights of {count(len(stored), 'layer')}, the network of {len(expected):,}",
            _OTHER_NETWORK,
        )
    found = {layer.name: layer for layer in stored}
    for place, (layer, name) in enumerate(expected.items()):
        own = found.get(layer.name) if by_path else stored[place]
        if own is None:
            return f"the file has no weights for layer {name!r}", _OTHER_NETWORK
        if own.shapes != layer.shapes:
            theirs, needed = _first_difference(own, layer)
            problem = f"layer {name!r} has weights of shape {theirs} in the file, and {needed} in the network"
            is_head = theirs[:-1] == needed[:-1] and needed[-1:] == model.output_shape[-1:]
            number = f"Pass the number of classes of the file: --classes {theirs[-1]}" if is_head else ""
            return problem, number if number and classes_option else _OTHER_NETWORK
    return None


def _first_difference(stored: StoredLayer, layer: StoredLayer) -> tuple[Any, Any]:
    """Return the first shapes that differ, or all shapes if one layer has more of them."""
    if len(stored.shapes) != len(layer.shapes):
        return stored.shapes, layer.shapes
    return next(pair for pair in zip(stored.shapes, layer.shapes, strict=True) if pair[0] != pair[1])


def _hdf5(path: Path) -> Path | BinaryIO:
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _by_order(model: Any) -> Iterator[tuple[StoredLayer, str]]:
    for layer in model.layers:
        weights = [*layer.trainable_weights, *layer.non_trainable_weights]
        if weights:
            names = tuple(weight_name(getattr(weight, "path", weight.name)) for weight in weights)
            yield StoredLayer(layer.name, tuple(tuple(weight.shape) for weight in weights), names), layer.name


def _by_path(model: Any, prefix: str = "") -> Iterator[tuple[StoredLayer, str]]:
    """Yield each layer under the name by which Keras stores it, its class with a number, and its own name."""
    numbers: Counter[str] = Counter()
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        path = f"{prefix}{kind}_{numbers[kind]}" if numbers[kind] else f"{prefix}{kind}"
        numbers[kind] += 1
        if hasattr(layer, "layers"):
            yield from _by_path(layer, f"{path}/")
        else:
            yield StoredLayer(path, tuple(tuple(weight.shape) for weight in layer.weights)), layer.name


def _snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
