"""The batch sizes that a backend prepares a model for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from camserve.errors import UsageError
from camserve.serving.config.option_kinds import Integers

__all__ = ["BatchSizes", "FixedSizes", "complete_sizes"]

BatchSizes = Literal["auto"] | tuple[int, ...]

_AUTO, _OFF = "auto", "off"


@dataclass(frozen=True)
class FixedSizes(Integers):
    """`auto`, or batch sizes; none for batches of any size."""

    low: int = 1
    high: int = 4096
    unique: bool = True
    metavar: str = "SIZES"
    example: str = "1,8,32"
    noun = "auto, none or batch sizes separated by commas"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError unless the value is `auto` or a tuple of batch sizes."""
        if value != _AUTO:
            super().check(name, value)

    def parse(self, name: str, text: str) -> Any:
        """Parse `auto`, `none`, `off`, or batch sizes separated by commas."""
        if text.lower() == _AUTO:
            return _AUTO
        if not text.strip():
            raise self.error(name, text)
        return () if text.lower() == _OFF else super().parse(name, text)

    def decode(self, text: str, default: Any) -> Any:
        """Return the sizes; the text itself if it is invalid, and the default if it is empty."""
        try:
            return super().decode(text, default)
        except UsageError:
            return text


def complete_sizes(sizes: BatchSizes, largest: int) -> BatchSizes:
    """Return fixed sizes in ascending order with the largest batch, since each batch must fit into one of them."""
    return tuple(sorted({*sizes, largest})) if isinstance(sizes, tuple) and sizes else sizes
