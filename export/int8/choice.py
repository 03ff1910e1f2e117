"""The choice of the layers that int8 quantizes, as `--int8-layers` states it, without loading a framework."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from camserve.errors import UsageError
from camserve.text import count, listed

__all__ = ["LayerChoice"]

_AUTO, _ALL = "auto", "all"
_EXAMPLE = "Pass --int8-layers auto, --int8-layers all, or all but some: --int8-layers all,-NAME,-NAME"
_CLOSE = 3


@dataclass(frozen=True)
class LayerChoice:
    """Which layers int8 quantizes.

    Attributes:
        repaired: Whether further layers stay float32 if the gate refuses the export otherwise.
        excluded: Patterns of the names of layers that stay float32; `*`, `?` and `[...]` as in a shell.
    """

    repaired: bool = True
    excluded: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LayerChoice:
        """Read `auto`, `all` or `all,-NAME[,-NAME...]`.

        Raises:
            UsageError: If the text is none of them.
        """
        first, *rest = (part.strip() for part in text.split(","))
        if first == _AUTO and not rest:
            return cls()
        if first != _ALL:
            raise UsageError(f"int8_layers must begin with {_AUTO} or {_ALL}, got {text!r}", hint=_EXAMPLE)
        for part in rest:
            if not (part.startswith("-") and part[1:]):
                raise UsageError(f"int8_layers: expected -NAME after {_ALL}, got {part!r}", hint=_EXAMPLE)
        return cls(repaired=False, excluded=tuple(dict.fromkeys(part[1:] for part in rest)))

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return _AUTO if self.repaired else ",".join([_ALL, *(f"-{pattern}" for pattern in self.excluded)])

    def float_layers(self, layers: Collection[str]) -> tuple[str, ...]:
        """Return the layers that stay float32, in the order of the network.

        Args:
            layers: The layers that int8 can quantize.

        Raises:
            UsageError: If a pattern matches no layer, or all layers would stay float32.
        """
        for pattern in self.excluded:
            if not any(_matches(layer, pattern) for layer in layers):
                raise UsageError(
                    f"--int8-layers {self}: no layer that int8 quantizes is named {pattern!r}",
                    hint=_hint(pattern, layers),
                )
        chosen = tuple(layer for layer in layers if any(_matches(layer, pattern) for pattern in self.excluded))
        if chosen and len(chosen) == len(layers):
            raise UsageError(f"--int8-layers {self} leaves no layer to quantize", hint="Export with --precision fp32")
        return chosen


def _matches(layer: str, pattern: str) -> bool:
    return layer == pattern or fnmatchcase(layer, pattern)


def _hint(pattern: str, layers: Collection[str]) -> str:
    """Return close matches, and which layers there are."""
    close = get_close_matches(pattern.strip("*"), list(layers), n=_CLOSE)
    suggestion = f"Did you mean {' or '.join(map(repr, close))}? They" if close else "Choose names that model.summary()"
    names = "are among the names that model.summary() prints" if close else "prints"
    return f"{suggestion} {names}; int8 quantizes {count(len(layers), 'layer')}: {listed(layers)}"
