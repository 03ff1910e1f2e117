"""The pipelines from image to tensor that a model can take: every preset with every resize filter and fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.export.options import ExportOptions

__all__ = ["Candidate", "Given", "list_candidates"]

_CROP: Fit = "crop-only"
_STRETCH: Fit = "stretch"


@dataclass(frozen=True)
class Candidate:
    """A pipeline.

    Attributes:
        preset: The name of its preset; None for arithmetic that has no name.
        preprocessing: Its preprocessing.
    """

    preset: str | None
    preprocessing: Preprocessing

    @property
    def geometry(self) -> tuple[Fit, ResizeFilter]:
        """Fit and resize filter."""
        return self.preprocessing.fit, self.preprocessing.resize

    def options(self, *, with_fit: bool = False) -> str:
        """Return the options of the command line that choose it.

        Args:
            with_fit: Whether to name the default fit as well.
        """
        fit, resize = self.geometry
        parts = [f"--preprocess {self.preset}" if self.preset else "the given preprocessing"]
        parts += [f"--resize {resize}"] if fit != _CROP else []
        parts += [f"--fit {fit}"] if with_fit or fit != _STRETCH else []
        return " ".join(parts)


@dataclass(frozen=True)
class Given:
    """The parts of a pipeline that were given; None where a part was not.

    Attributes:
        preprocessing: The preprocessing, of which only the arithmetic counts.
        resize: The resize filter.
        fit: The fit.
    """

    preprocessing: Preprocessing | None = None
    resize: ResizeFilter | None = None
    fit: Fit | None = None

    @classmethod
    def from_options(cls, options: ExportOptions) -> Given:
        """Return what was given as options, or within a preprocessing."""
        requested, resize, fit = options.preprocessing, options.resize, options.fit
        if isinstance(requested, Preprocessing):
            stated = requested.model_fields_set
            resize = resize or (requested.resize if "resize" in stated else None)
            fit = fit or (requested.fit if "fit" in stated else None)
            return cls(requested, resize, fit)
        return cls(None if requested is None else PRESETS[requested], resize, fit)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to find."""
        return None not in (self.preprocessing, self.fit) and (self.resize is not None or self.fit == _CROP)

    def allows(self, candidate: Candidate) -> bool:
        """Return whether a candidate has every given part; the filter of one that only crops does not count."""
        found = candidate.preprocessing
        return (
            (self.preprocessing is None or _arithmetic(_in_color_of(self.preprocessing, found)) == _arithmetic(found))
            and self.fit in (None, found.fit)
            and (self.resize in (None, found.resize) or found.fit == _CROP)
        )


def list_candidates(channels: int, dtype: str, others: Sequence[Preprocessing] = ()) -> tuple[Candidate, ...]:
    """List the pipelines that a model can take. Presets with the same arithmetic count as one.

    Args:
        channels: Number of channels of its input.
        dtype: Data type of its input; one of integers takes whole pixels without arithmetic.
        others: Further preprocessing whose arithmetic is tried.
    """
    whole = "int" in dtype
    arithmetic = [
        (name, preprocessing)
        for name, preprocessing in _distinct(channels, others)
        if not (whole and preprocessing.arithmetic)
    ]
    geometries = [(fit, resize) for fit in get_args(Fit) if fit != _CROP for resize in get_args(ResizeFilter)]
    candidates = (
        Candidate(name, preprocessing.model_copy(update={"fit": fit, "resize": resize}))
        for fit, resize in (*geometries, (_CROP, Preprocessing().resize))
        for name, preprocessing in arithmetic
    )
    return tuple(each for each in candidates if not (whole and each.preprocessing.gives_fractions))


def _distinct(channels: int, others: Sequence[Preprocessing]) -> Iterator[tuple[str | None, Preprocessing]]:
    known: set[Any] = set()
    for name, preprocessing in (*PRESETS.items(), *((None, each) for each in others)):
        try:
            converted = preprocessing.in_gray() if channels == 1 else preprocessing
        except ValueError:  # it differs between the color channels
            continue
        if converted.channels == channels and _arithmetic(converted) not in known:
            known.add(_arithmetic(converted))
            yield name, converted


def _in_color_of(preprocessing: Preprocessing, other: Preprocessing) -> Preprocessing:
    return preprocessing.in_gray() if other.color == "gray" and _is_uniform(preprocessing) else preprocessing


def _is_uniform(preprocessing: Preprocessing) -> bool:
    return all(len(set(values)) == 1 for values in (preprocessing.scale, preprocessing.mean, preprocessing.std))


def _arithmetic(preprocessing: Preprocessing) -> tuple[Any, ...]:
    return preprocessing.color, preprocessing.arithmetic
