"""Checks of the types of arguments, whose errors name the argument."""

from __future__ import annotations

from numbers import Integral, Real

from camserve.errors import UsageError

__all__ = ["check_number", "check_type", "check_whole"]


def check_type(name: str, value: object, types: type | tuple[type, ...], expected: str) -> None:
    """Check that an argument has one of the types. The message does not contain the value, which may be a secret.

    Args:
        name: Name of the argument.
        value: Its value. True and False are not numbers here, though Python counts them as integers.
        types: The valid types.
        expected: The valid values in words, such as `a whole number`.

    Raises:
        UsageError: If it has none of them.
    """
    if not isinstance(value, types) or (isinstance(value, bool) and types in (Integral, Real)):
        found = "None" if value is None else type(value).__name__
        raise UsageError(f"invalid type for {name}: {found}", hint=f"Pass {expected}")


def check_whole(name: str, value: object) -> None:
    """Check that an argument is an integer, of Python or NumPy.

    Raises:
        UsageError: If it is not.
    """
    check_type(name, value, Integral, "a whole number")


def check_number(name: str, value: object) -> None:
    """Check that an argument is a real number, of Python or NumPy.

    Raises:
        UsageError: If it is not.
    """
    check_type(name, value, Real, "a number")
