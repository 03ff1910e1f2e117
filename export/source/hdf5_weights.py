"""The weights in an HDF5 file, layer by layer, without loading a framework."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import h5py

from camserve.errors import SourceError
from camserve.export.source.hdf5 import check_hdf5
from camserve.text import count

__all__ = ["Layout", "StoredLayer", "check_is_model", "hdf5_layout", "is_nested", "stored_layers", "weight_name"]

Layout = Literal["model", "by-order", "by-path"]
"""A whole model; weights by order of the layers (`save_weights('x.h5')`); weights by path (`'x.weights.h5'`)."""

_NESTED_ARRAYS = 8  # more than any layer has, so that it is a model within the model
_DENSE = re.compile(r"dense(?:_(\d+))?$")


@dataclass(frozen=True)
class StoredLayer:
    """The arrays of one layer.

    Attributes:
        name: The layer's name, or its path in a file whose weights are stored by path.
        shapes: The shapes of its arrays.
        names: The names of its arrays, such as `conv/kernel`; empty if the weights are stored by path.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()


def check_is_model(path: Path) -> None:
    """Refuse an HDF5 file without an architecture.

    Raises:
        SourceError: If it contains only weights, or something else; or if it is refused as `check_hdf5` does.
    """
    check_hdf5(path, str(path), path.stat().st_size)
    layout = hdf5_layout(path)
    layers = [] if layout is None else stored_layers(path)
    if layout == "model" and not layers:
        raise SourceError(
            f"{path} contains the architecture of a model without its weights",
            hint="Pass a file with both: model.save('model.keras')",
        )
    if layout == "model":
        return
    if not layers:
        raise SourceError(
            f"{path} is an HDF5 file without a Keras model",
            hint="Pass a file that Keras saved: model.save('model.keras') or model.save('model.h5')",
        )
    own = f"camserve export model.json --weights {path}, with the file of model.to_json()"
    application = f"camserve export keras:NAME --weights {path} --classes {_classes(layers, layout) or 'N'}, or "
    raise SourceError(
        f"{path} contains only the weights of {count(len(layers), 'layer')}, without the network",
        hint=f"Pass the network with them: {'' if is_nested(layers) else application}{own}",
    )


def is_nested(layers: Iterable[StoredLayer]) -> bool:
    """Return whether one of the layers is a model itself; a `/` in its name means so only in a path."""
    return any(len(layer.shapes) > _NESTED_ARRAYS or ("/" in layer.name and not layer.names) for layer in layers)


def hdf5_layout(content: Path | BinaryIO) -> Layout | None:
    """Return what an HDF5 file contains; None if Keras did not write it."""
    with h5py.File(content, "r") as file:
        if "model_config" in file.attrs:
            return "model"
        if "model_weights" in file or any(name.startswith("layer_names") for name in file.attrs):
            return "by-order"
        return "by-path" if {"layers", "vars", "_layer_checkpoint_dependencies"}.intersection(file) else None


def stored_layers(content: Path | BinaryIO) -> list[StoredLayer]:
    """Return every layer that has weights, in the order of the model unless they are stored by path.

    Returns none if the file is not as Keras writes it.
    """
    with h5py.File(content, "r") as file:
        root = file.get("model_weights", file)
        by_order = any(name.startswith("layer_names") for name in root.attrs)
        try:
            layers = list(_by_order(root) if by_order else _by_path(root))
        except (AttributeError, KeyError, TypeError, ValueError):
            return []
    return [layer for layer in layers if layer.shapes]


def _by_order(root: Any) -> Iterator[StoredLayer]:
    for name in _texts(root, "layer_names"):
        weights = _texts(root[name], "weight_names")
        shapes = tuple(tuple(root[name][weight].shape) for weight in weights)
        yield StoredLayer(name, shapes, tuple(map(weight_name, weights)))


def weight_name(path: str) -> str:
    """Return the layer and the name of an array, without what differs between Keras 2 and Keras 3."""
    layer_and_name = "/".join(path.split("/")[-2:]).partition(":")[0]
    return layer_and_name.replace("depthwise_kernel", "kernel")


def _by_path(root: Any) -> Iterator[StoredLayer]:
    found: list[StoredLayer] = []

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and path.endswith("vars"):
            arrays = sorted((int(key), tuple(item[key].shape)) for key in item if key.isdecimal())
            parts = [part for part in path.split("/")[:-1] if part not in ("layers", "_layer_checkpoint_dependencies")]
            found.append(StoredLayer("/".join(parts), tuple(shape for _, shape in arrays)))

    root.visititems(visit)
    yield from found


def _texts(group: Any, name: str) -> list[str]:
    """Return a list of names, which Keras splits into several attributes if it is long."""
    chunks = (
        [name]
        if name in group.attrs
        else sorted(
            (key for key in group.attrs if re.fullmatch(rf"{name}\d+", key)),
            key=lambda key: int(key.removeprefix(name)),
        )
    )
    values = [value for chunk in chunks for value in group.attrs[chunk]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _classes(layers: list[StoredLayer], layout: Layout | None) -> int | None:
    """Return the number of outputs of the last layer; of the last dense one if the layers are not in order."""
    dense = [(int(found[1] or 0), layer) for layer in layers if (found := _DENSE.search(layer.name))]
    if layout == "by-path" and not dense:
        return None
    last = layers[-1] if layout == "by-order" else max(dense, key=lambda entry: entry[0])[1]
    kernel = last.shapes[0]
    return kernel[-1] if len(kernel) in (2, 4) else None
