"""Read a contract from the JSON of a server or a file."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from camserve.contract.fields import CONFLICT, DOCUMENT, INVALID, Record
from camserve.errors import BundleError
from camserve.strict_json import JsonError, parse_json
from camserve.text import excerpt

__all__ = ["VERSION", "read_contract"]

VERSION = 2
"""The newest version of the format. What clients must know to prepare pixels or to read answers requires another."""

_MAX_BYTES = 64 * 1024

RecordT = TypeVar("RecordT", bound=Record)


def read_contract(kind: type[RecordT], text: str | bytes, origin: str, hint: str) -> RecordT:
    """Read a contract: every field must be present, of its type, and agree with the others.

    Args:
        kind: The class of the contract.
        text: The JSON.
        origin: The file or model that it is from, for error messages.
        hint: How to replace an invalid contract.

    Raises:
        BundleError: If it is not a valid contract of this version; the message names the field.
    """
    try:
        document = parse_json(text, max_bytes=_MAX_BYTES)
        _refuse_later_version(document, origin)
        return kind.model_validate(document, context=DOCUMENT)
    except JsonError as error:
        problem = str(error)
    except ValidationError as error:
        problem = _problem(error)
    raise BundleError(f"{origin} is not a valid camserve contract: {problem}", hint=hint)


def _refuse_later_version(document: Any, origin: str) -> None:
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is int and version > VERSION:
        raise BundleError(
            f"{origin} is of version {version}, and this camserve reads versions 1 to {VERSION}",
            hint="Install the camserve that exported the model: pip install --upgrade camserve",
        )


def _problem(error: ValidationError) -> str:
    """Return the first problem in words: the field, what it must be, and its value."""
    first = error.errors(include_url=False)[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    if first["type"] == CONFLICT:
        return first["msg"]
    if first["type"] == INVALID:
        problem = first["msg"]
    elif first["type"] == "literal_error":
        problem = f"must be {first['ctx']['expected']}, got {excerpt(first['input'])}"
    else:
        expected = "must be a list" if first["type"] == "tuple_type" else first["msg"]
        problem = f"{expected}, got {excerpt(first['input'])}"
    return f"{field or 'it'} {problem}"
