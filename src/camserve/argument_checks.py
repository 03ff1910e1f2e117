"""What kind of value an argument is: one of another kind is refused by the argument's name, before it is used."""

from __future__ import annotations

from numbers import Integral, Real

from camserve.errors import UsageError

__all__ = ["check_number", "check_type", "check_whole"]


def check_type(name: str, value: object, kinds: type | tuple[type, ...], what: str) -> None:
    """Refuses a value of another kind. The value itself is not told: it may be a secret.

    Args:
        name: What the caller knows the value as.
        value: The value. True and False are no numbers here, though Python counts them among the whole ones.
        kinds: What it may be.
        what: The same in words.

    Raises:
        UsageError: If it is none of these.
    """
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds in (Integral, Real)):
        found = "None" if value is None else f"of type {type(value).__name__}"
        raise UsageError(f"{name} is {found}", hint=f"Give {what}")


def check_whole(name: str, value: object) -> None:
    """Refuses what is no whole number, those of NumPy included.

    Raises:
        UsageError: If so.
    """
    check_type(name, value, Integral, "a whole number")


def check_number(name: str, value: object) -> None:
    """Refuses what is no real number, those of NumPy included.

    Raises:
        UsageError: If so.
    """
    check_type(name, value, Real, "a number")
