"""Parameters of a model's configuration, as Triton hands it over in JSON: every value is a string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ModelRefusedError", "number", "switch", "text"]

_SWITCH = {"0": False, "false": False, "1": True, "true": True}


class ModelRefusedError(ValueError):
    """A configuration that does not fit the model or asks for what the backend has not; the model is not loaded."""


def text(config: Mapping[str, Any], name: str) -> str | None:
    """The value of a parameter; None where it is not given."""
    parameter = config.get("parameters", {}).get(name)
    return None if parameter is None else str(parameter["string_value"])


def number(config: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A parameter that is a whole number.

    Raises:
        ModelRefusedError: If it is none.
    """
    given = text(config, name)
    try:
        return default if given is None else int(given)
    except ValueError:
        raise ModelRefusedError(f"parameter {name} must be a whole number and is '{given}'") from None


def switch(config: Mapping[str, Any], name: str) -> bool | None:
    """A parameter that is on or off; None where it is not given.

    Raises:
        ModelRefusedError: If it is neither 0, 1, true nor false.
    """
    given = text(config, name)
    if given is None:
        return None
    if given.lower() not in _SWITCH:
        raise ModelRefusedError(f"parameter {name} must be 0 or 1 and is '{given}'")
    return _SWITCH[given.lower()]
