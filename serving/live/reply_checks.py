"""Checks of what a running server replies: any program may listen at the address."""

from __future__ import annotations

import re
from collections.abc import Sequence

from camserve.contract import TensorSpec
from camserve.text import shortened

__all__ = ["InvalidReplyError", "check_output", "read_version"]

_SHOWN = 60
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


class InvalidReplyError(ValueError):
    """A reply that cannot be what Triton returns; the message names what is wrong with it."""


def read_version(text: str) -> int:
    """Return the version number in an index; 0 for a model without loaded versions.

    Raises:
        InvalidReplyError: If it is not a version number.
    """
    if text and not _VERSION.fullmatch(text):
        raise InvalidReplyError(f"a version is '{shortened(text, _SHOWN)}'")
    return int(text or 0)


def check_output(spec: TensorSpec, datatype: str, shape: Sequence[int]) -> None:
    """Check the description of an output for one image, before its bytes are read.

    Raises:
        InvalidReplyError: If its data type or shape is not that of the contract.
    """
    expected, found = [1, *spec.shape], list(shape)
    if datatype != spec.dtype or found != expected:
        tensor = shortened(f"{datatype} {found}", _SHOWN)
        raise InvalidReplyError(f"output {spec.name!r} is {tensor}, expected {spec.dtype} {expected}")
