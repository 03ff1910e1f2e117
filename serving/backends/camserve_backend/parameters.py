"""Parameters of a model's configuration. Triton passes the configuration as JSON in which every value is a string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ModelRefusedError", "boolean_parameter", "integer_parameter", "text_parameter"]

_HINT = "; hint: "  # as in camserve.serving.live.live_errors, which cannot be imported inside Triton
_BOOLEANS = {"0": False, "false": False, "1": True, "true": True}


class ModelRefusedError(ValueError):
    """The configuration does not match the model or uses what this server lacks, so the model is not loaded.

    Args:
        message: Why.
        hint: What to do, as a sentence that begins with a verb; camserve prints it on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}{_HINT}{hint}")


def text_parameter(config: Mapping[str, Any], name: str) -> str | None:
    """Return the value of a parameter, or None if it is not set."""
    parameter = config.get("parameters", {}).get(name)
    return None if parameter is None else str(parameter["string_value"])


def integer_parameter(config: Mapping[str, Any], name: str, default: int = 0) -> int:
    """Return the value of an integer parameter.

    Raises:
        ModelRefusedError: If it is not an integer.
    """
    value = text_parameter(config, name)
    try:
        return default if value is None else int(value)
    except ValueError:
        raise ModelRefusedError(f"parameter {name} must be an integer, got '{value}'") from None


def boolean_parameter(config: Mapping[str, Any], name: str) -> bool | None:
    """Return the value of a boolean parameter, or None if it is not set.

    Raises:
        ModelRefusedError: If it is not 0, 1, true or false.
    """
    value = text_parameter(config, name)
    if value is None:
        return None
    if value.lower() not in _BOOLEANS:
        raise ModelRefusedError(f"parameter {name} must be 0 or 1, got '{value}'")
    return _BOOLEANS[value.lower()]
