"""Checks of an HDF5 file before its arrays are read: no link leaves the file, and its arrays fit its size."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from camserve.errors import SourceError
from camserve.export.source.limits import check_config_size, check_expansion, suspicious_file_error

__all__ = ["architecture_in_hdf5", "check_hdf5"]

_MAX_OBJECTS = 100_000


def check_hdf5(content: Path | BinaryIO, name: str, stored: int) -> None:
    """Walk through the file without following a link or reading an array.

    Args:
        content: The file, or a stream of it.
        name: The file's name, for messages.
        stored: Its size on disk, in bytes.

    Raises:
        SourceError: If it is not a complete HDF5 file, or contains a link other than a hard link, an array that is
            stored in other files, or arrays that are far larger than the file.
    """
    try:
        with h5py.File(content, "r") as file:
            sizes = [_size(array, f"the array at {path} in {name}") for path, array in _arrays(file, name)]
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001  h5py raises OSError, RuntimeError, KeyError and more
        raise SourceError(
            f"{name} is not an HDF5 file, or it is truncated: {_first_line(error)}",
            hint="Download or save the file again",
        ) from None
    check_expansion(sum(sizes), stored, name)


def architecture_in_hdf5(path: Path) -> Any:
    """Return the architecture that Keras saved in an HDF5 file; None if there is none.

    Raises:
        SourceError: If it is larger than that of any network.
    """
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        return None
    check_config_size(len(text), str(path))
    return json.loads(text)


def _arrays(file: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every array of the file with its path, once each: a hard link may point to an enclosing group."""
    waiting, seen = [file], {_address(file)}
    while waiting:
        group = waiting.pop()
        for key in group:
            path = f"{group.name.rstrip('/')}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise suspicious_file_error(f"{name} contains a soft or external link at {path} to {_target(link)}")
            child = group[key]
            if _address(child) in seen:
                continue
            seen.add(_address(child))
            if len(seen) > _MAX_OBJECTS:
                raise suspicious_file_error(f"{name} contains more than {_MAX_OBJECTS:,} arrays and groups")
            if isinstance(child, h5py.Group):
                waiting.append(child)
            elif isinstance(child, h5py.Dataset):
                yield path, child


def _address(item: Any) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _target(link: Any) -> str:
    return f"{getattr(link, 'filename', '')}:{getattr(link, 'path', '')}".lstrip(":")


def _size(array: Any, place: str) -> int:
    """Return the size of an array in memory, in bytes.

    The shape is read last: to find the shape of a virtual array, HDF5 opens the files that it consists of.
    """
    if array.is_virtual:
        raise suspicious_file_error(f"{place} is stored in other files")
    if array.external:
        raise suspicious_file_error(f"{place} is stored in another file: {array.external[0][0]}")
    if array.dtype.hasobject:
        raise suspicious_file_error(f"{place} contains text or references instead of numbers")
    return math.prod(array.shape or ()) * int(array.dtype.itemsize)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
