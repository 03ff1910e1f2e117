"""Resources of Triton's rate limiter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.option_kinds import Integer, Kind, split

__all__ = ["Resource", "Resources"]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of Triton's rate limiter, which an instance holds while it runs a batch.

    Attributes:
        name: Any name; models that name the same resource share it.
        count: Units of it that one instance holds.
        shared: Whether all devices share one pool; otherwise each device has its own.
    """

    name: str
    count: int = 1
    shared: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.count}" + (":shared" if self.shared else "")


@dataclass(frozen=True)
class Resources(Kind):
    """Resources as `name:count` or `name:count:shared`, separated by commas."""

    metavar: str = "NAME:COUNT"
    example: str = "disk:1,link:2:shared"
    noun = "resources separated by commas"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is a tuple of resources with different names."""
        if not isinstance(value, tuple) or not all(isinstance(each, Resource) for each in value):
            raise self.error(name, value)
        count = Integer(1, 1_000_000)
        for each in value:
            if not each.name:
                raise UsageError(f"{name} has a resource without a name", hint=f"Pass e.g. {name}=disk:1")
            count.check(f"the count of {each.name} in {name}", each.count)
        if len({each.name for each in value}) != len(value):
            raise UsageError(f"{name} must not repeat a resource, got {','.join(map(str, value))}")

    def parse(self, name: str, text: str) -> tuple[Resource, ...]:
        """Parse resources separated by commas."""
        return tuple(self._parse_one(name, part) for part in split(text))

    def _parse_one(self, option: str, text: str) -> Resource:
        name, _, rest = text.partition(":")
        count, _, shared = rest.partition(":")
        if not name or shared not in ("", "shared"):
            raise UsageError(f"expected {option}=name:count, got {text!r}", hint=f"Pass e.g. {option}={self.example}")
        return Resource(name=name, count=Integer(1, 1).parse(option, count or "1"), shared=bool(shared))
