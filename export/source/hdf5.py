"""An HDF5 file, looked at before anything reads from it: nothing leads out of it, and its arrays fit its bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from camserve.errors import SourceError

__all__ = ["LARGEST_CONFIG", "architecture_in_hdf5", "check_hdf5", "check_size", "refusal"]

LARGEST_CONFIG = 16 << 20
"""Bytes of an architecture: a network of Keras has 1 or 2 MB, and a parsed text takes many times its size."""


_SMALL = 256 << 20
_MOST_EXPANSION = 20  # trained weights hardly compress; pruned ones do, and not by this
_MOST_OBJECTS = 100_000


def check_hdf5(content: Path | BinaryIO, name: str, stored: int) -> None:
    """Walks through the file without following a link or reading an array.

    Args:
        content: The file, or a stream of it.
        name: What to call it in messages.
        stored: Its size on disk, in bytes.

    Raises:
        SourceError: If it is not HDF5 or only a part of one, holds a link that is not a hard one, an array that is
            kept in other files, or arrays that are far larger than the file.
    """
    try:
        with h5py.File(content, "r") as file:
            sizes = [_size(array, f"{name} at {path}") for path, array in _arrays(file, name)]
    except SourceError:
        raise
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError and more for a damaged file
        raise SourceError(
            f"{name} is not an HDF5 file, or only a part of one: {_one_line(error)}", hint="Get or save the file again"
        ) from error
    check_size(sum(sizes), stored, name)


def architecture_in_hdf5(path: Path) -> Any:
    """The architecture that Keras wrote into an HDF5 file; None where there is none.

    Raises:
        SourceError: If it is larger than any network's.
    """
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        return None
    if len(text) > LARGEST_CONFIG:
        raise refusal(f"{path} describes its network in {len(text):,} bytes")
    return json.loads(text)


def check_size(unpacked: int, stored: int, name: str) -> None:
    """Refuses what would grow out of all proportion when it is read.

    Raises:
        SourceError: If it takes more than 256 MiB, and more than twenty times its bytes on disk.
    """
    if unpacked > max(_SMALL, _MOST_EXPANSION * stored):
        raise refusal(f"{name} holds {stored:,} bytes and would take {unpacked:,} when it is read")


def refusal(message: str) -> SourceError:
    """The error for a file that no Keras writes, and that may be an attack."""
    return SourceError(message, hint="Keras writes no such file: do not load it, and ask its author for another")


def _arrays(file: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every array of the file with its path, once each: a hard link may lead back to a group that holds it."""
    waiting, seen = [file], {_address(file)}
    while waiting:
        group = waiting.pop()
        for key in group:
            path = f"{group.name.rstrip('/')}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise refusal(f"{name} holds a link at {path} that leads elsewhere: {_target(link)}")
            child = group[key]
            if _address(child) in seen:
                continue
            seen.add(_address(child))
            if len(seen) > _MOST_OBJECTS:
                raise refusal(f"{name} holds more than {_MOST_OBJECTS:,} arrays and groups")
            if isinstance(child, h5py.Group):
                waiting.append(child)
            elif isinstance(child, h5py.Dataset):
                yield path, child


def _address(thing: Any) -> int:
    return int(h5py.h5o.get_info(thing.id).addr)


def _target(link: Any) -> str:
    return f"{getattr(link, 'filename', '')}:{getattr(link, 'path', '')}".lstrip(":")


def _size(array: Any, place: str) -> int:
    """Bytes of an array in memory.

    Its shape is asked for last: to know that of a virtual array, the library opens the files that it is made of.
    """
    if array.is_virtual:
        raise refusal(f"{place} is an array that is kept in other files")
    if array.external:
        raise refusal(f"{place} is an array that is kept in another file: {array.external[0][0]}")
    if array.dtype.hasobject:
        raise refusal(f"{place} is an array of texts or references, not of numbers")
    return math.prod(array.shape or ()) * int(array.dtype.itemsize)


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
