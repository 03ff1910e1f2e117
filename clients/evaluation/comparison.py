"""The values that the comparison of two tables returns."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.clients.evaluation.results import SkippedRows
from camserve.clients.evaluation.versions import AnsweringVersion

__all__ = ["ChangedAnswer", "Comparison"]


@dataclass(frozen=True)
class ChangedAnswer:
    """An image whose best class differs between two tables.

    Attributes:
        path: The image.
        truth: The true label.
        before: The label of the best class in the first table.
        after: The label of the best class in the second table.
    """

    path: str
    truth: str
    before: str
    after: str


@dataclass(frozen=True)
class Comparison:
    """How the answers of two tables differ, over the images that have an answer in both.

    Attributes:
        table: The first table.
        against: The second table.
        both_correct: Number of images that both tables classify correctly.
        only_table: Number of images that only the first table classifies correctly.
        only_against: Number of images that only the second table classifies correctly.
        both_wrong: Number of images that neither table classifies correctly.
        changed: Number of images with different best classes.
        changes: The first of them; those that are correct in one table come first.
        p_value: The p-value of the exact two-sided sign test (McNemar): the probability of a difference of accuracy at
            least as large, if neither table were better than the other.
        missing_in_table: Rows whose path is only in the second table.
        missing_in_against: Rows whose path is only in the first table.
        errors: Rows in both tables, with an error in at least one.
        unmatched: Rows in both tables, without a true label.
        unknown: As in `Evaluation`, for true labels that are not in both tables.
        versions: The versions that answered in the first table, as in `Evaluation`.
        versions_against: The versions that answered in the second table.
    """

    table: str
    against: str
    both_correct: int
    only_table: int
    only_against: int
    both_wrong: int
    changed: int
    changes: tuple[ChangedAnswer, ...]
    p_value: float
    missing_in_table: SkippedRows
    missing_in_against: SkippedRows
    errors: SkippedRows
    unmatched: SkippedRows
    unknown: tuple[tuple[str, int], ...]
    versions: tuple[AnsweringVersion, ...] = ()
    versions_against: tuple[AnsweringVersion, ...] = ()

    @property
    def images(self) -> int:
        """Number of images that have an answer in both tables and a true label."""
        return self.both_correct + self.only_table + self.only_against + self.both_wrong

    @property
    def accuracies(self) -> tuple[float, float]:
        """The accuracy of the first and of the second table over these images."""
        first, second = self.both_correct + self.only_table, self.both_correct + self.only_against
        return first / self.images, second / self.images
