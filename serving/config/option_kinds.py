"""The kinds of values that serving options take: how each is checked, parsed, and written as a parameter of Triton."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from camserve.errors import UsageError

__all__ = [
    "NOTHING",
    "Choice",
    "Integer",
    "Integers",
    "Kind",
    "ServerPath",
    "Size",
    "Switch",
    "VersionChoice",
    "format_value",
    "split",
]

NOTHING = ("none", "")
"""Texts for no value."""

_ON, _OFF = ("on", "yes", "true", "1"), ("off", "no", "false", "0")
_UNITS: Mapping[str, int] = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SIZE = re.compile(r"(\d+)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)


class Kind(ABC):
    """A kind of value. In its methods `name` is the option as the user wrote it, for error messages.

    Attributes:
        metavar: The placeholder for a value in `--help`.
        noun: What a value must be, for error messages.
        example: A valid value, for hints.
    """

    metavar: str
    noun: ClassVar[str]
    example: str

    @abstractmethod
    def check(self, name: str, value: Any) -> None:
        """Raise UsageError if a value is invalid."""

    def parse(self, name: str, text: str) -> Any:  # noqa: ARG002  (most kinds report the name)
        """Return the value that a text represents; raise UsageError if it has another form."""
        return text

    def encode(self, value: Any) -> str:
        """Return a value as a parameter of Triton."""
        return format_value(value)

    def decode(self, text: str, default: Any) -> Any:
        """Return the value of a parameter of Triton; the default if the text is empty."""
        return self.parse("", text) if text else default

    def error(self, name: str, value: Any) -> UsageError:
        """Return the error for a value of another form."""
        return UsageError(f"{name} must be {self.noun}, got {value!r}", hint=f"Pass e.g. {name}={self.example}")


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number within limits."""

    low: int
    high: int
    metavar: str = "N"
    example: str = "1"
    noun = "a whole number"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is a whole number within the limits."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(name, value)
        if not self.low <= value <= self.high:
            raise UsageError(f"{name} must be from {self.low} to {self.high}, got {value}")

    def parse(self, name: str, text: str) -> int:
        """Parse decimal digits."""
        if not text.isdecimal():
            raise self.error(name, text)
        return int(text)

    def decode(self, text: str, default: Any) -> Any:
        """Return the number; the default if the text is not decimal, since Triton knows no units."""
        return int(text) if text.isdecimal() else default


@dataclass(frozen=True)
class Size(Integer):
    """A number of bytes; text may have a unit: K, M or G, each 1024 times the one before."""

    low: int = 1
    high: int = 2**63 - 1
    metavar: str = "SIZE"
    example: str = "8G"
    noun = "a size in bytes"

    def parse(self, name: str, text: str) -> int:
        """Parse a number of bytes with an optional unit."""
        match = _SIZE.fullmatch(text)
        if match is None:
            raise self.error(name, text)
        return int(match.group(1)) * _UNITS[match.group(2).upper()]


@dataclass(frozen=True)
class Integers(Kind):
    """Whole numbers separated by commas, within limits."""

    low: int
    high: int
    unique: bool = False
    metavar: str = "N,N"
    example: str = "0,1"
    noun = "whole numbers separated by commas"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is a tuple of whole numbers within the limits."""
        if not isinstance(value, tuple):
            raise self.error(name, value)
        for number in value:
            Integer(self.low, self.high, example=self.example).check(name, number)
        if self.unique and len(set(value)) != len(value):
            numbers = format_value(value)
            raise UsageError(f"{name} must not repeat a number, got {numbers}", hint="List each number once")

    def parse(self, name: str, text: str) -> Any:
        """Parse numbers separated by commas."""
        parts = split(text)
        if not all(part.isdecimal() for part in parts):
            raise self.error(name, text)
        return tuple(int(part) for part in parts)


@dataclass(frozen=True)
class VersionChoice(Integers):
    """`latest`, `all`, or version numbers."""

    low: int = 1
    high: int = 2**63 - 1
    unique: bool = True
    metavar: str = "VERSIONS"
    example: str = "3,5"
    noun = "latest, all or version numbers"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is one of the words or a tuple of numbers."""
        if value == ():
            raise self.error(name, value)
        if value not in ("latest", "all"):
            super().check(name, value)

    def parse(self, name: str, text: str) -> Any:
        """Parse a word, or numbers separated by commas."""
        return text if text in ("latest", "all") else super().parse(name, text)


@dataclass(frozen=True)
class Choice(Kind):
    """One of several words.

    Attributes:
        values: The words.
        codes: Their values as a parameter of Triton, in the same order (default: the words themselves).
    """

    values: tuple[str, ...]
    codes: tuple[str, ...] = ()
    metavar: str = "NAME"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is one of the words."""
        if value not in self.values:
            *others, last = self.values
            raise UsageError(f"unknown {name} {value!r}", hint=f"Choose {', '.join(others)} or {last}")

    def encode(self, value: str) -> str:
        """Return the word's code."""
        return dict(zip(self.values, self.codes, strict=True)).get(value, value) if self.codes else value

    def decode(self, text: str, default: Any) -> Any:
        """Return the word of a code; of an unknown one None if the option is optional, else the text itself."""
        words = {self.encode(word).lower(): word for word in self.values}
        return words.get(text.lower(), text.lower() if text and default is not None else default)


@dataclass(frozen=True)
class Switch(Kind):
    """On or off."""

    metavar: str = "on|off"
    example: str = "on"
    noun = "on or off"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is True or False."""
        if not isinstance(value, bool):
            raise UsageError(f"{name} must be True or False, got {value!r}")

    def parse(self, name: str, text: str) -> bool:
        """Parse on or off, yes or no, true or false, 1 or 0."""
        if text.lower() not in _ON + _OFF:
            raise self.error(name, text)
        return text.lower() in _ON

    def encode(self, value: bool) -> str:
        """Return 1 or 0."""
        return "1" if value else "0"

    def decode(self, text: str, default: Any) -> Any:
        """Parse 1 or 0, true or false; a missing parameter is off unless the option is optional."""
        on = text.lower() in ("1", "true")
        return on if on or default is not None or text.lower() in ("0", "false") else None


@dataclass(frozen=True)
class ServerPath(Kind):
    """A folder on the server."""

    metavar: str = "DIR"
    example: str = "/var/cache/camserve"
    noun = "a path on the server"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is a text without white space around it."""
        if not isinstance(value, str) or not value or value != value.strip():
            raise self.error(name, value)


def split(text: str) -> list[str]:
    """Return the parts of a text separated by commas; none if it is empty or `none`."""
    return [] if text.lower() in NOTHING else [part.strip() for part in text.split(",")]


def format_value(value: Any) -> str:
    """Return a value as text, from which the `parse` of its kind returns an equal value."""
    if isinstance(value, tuple):
        return ",".join(format_value(part) for part in value) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
