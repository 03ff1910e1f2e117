"""The values that an evaluation returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from camserve.clients.evaluation.answers import Answers
from camserve.clients.evaluation.versions import AnsweringVersion

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassMetrics",
    "Confusion",
    "Evaluation",
    "Mistake",
    "SkippedRows",
    "TopAccuracy",
]


@dataclass(frozen=True)
class SkippedRows:
    """Rows that are not part of any metric.

    Attributes:
        rows: Number of rows.
        first: The paths of the first of them.
    """

    rows: int
    first: tuple[str, ...] = ()


@dataclass(frozen=True)
class TopAccuracy:
    """The share of images whose true label is among the most probable classes.

    Attributes:
        top: Number of classes.
        correct: Number of images.
        accuracy: Their share of all images.
        interval: The 95 % interval of the share (Wilson).
    """

    top: int
    correct: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class ClassMetrics:
    """The metrics of one class.

    Attributes:
        label: Its label.
        support: Number of images with this true label.
        predicted: Number of images for which it is the best class.
        correct: Number of images for which it is both.
    """

    label: str
    support: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float | None:
        """The share of correct ones among the images predicted as this class; None without such images."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """The share of correct ones among the images of this class; None without such images."""
        return self.correct / self.support if self.support else None

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if no image is correct."""
        return 2 * self.correct / (self.support + self.predicted)


@dataclass(frozen=True)
class Confusion:
    """A cell of the confusion matrix that is not zero.

    Attributes:
        truth: The true label.
        predicted: The label of the best class.
        images: Number of images.
    """

    truth: str
    predicted: str
    images: int


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose best class has a probability above `low` and at most `high`.

    Attributes:
        low: The lower end; 0 is part of the first bin.
        high: The upper end.
        images: Number of images.
        probability: Their mean probability; None without images.
        accuracy: Their accuracy; None without images.
    """

    low: float
    high: float
    images: int
    probability: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether the probability of the best class is the share of correct answers.

    Attributes:
        expected_error: The expected calibration error: the mean difference of probability and accuracy over the
            bins, weighted by their images.
        probability: The mean probability of the best class.
        bins: Ten bins of equal width, for a reliability diagram.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """

    expected_error: float
    probability: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Mistake:
    """An image whose best class is not its true label.

    Attributes:
        path: The image.
        truth: The true label.
        predicted: The label of the best class.
        probability: The probability of the best class.
        rank: The rank of the true label; None if it is not in the table.
    """

    path: str
    truth: str
    predicted: str
    probability: float
    rank: int | None


@dataclass(frozen=True)
class Evaluation:
    """How good the answers of a table are.

    Attributes:
        table: The table; of `evaluate_images` without `output`, what the inputs are called.
        rows: Number of its rows; each is in `images`, `errors` or `unmatched`.
        images: Number of rows with an answer and a true label, to which all metrics refer.
        errors: Rows with an error instead of an answer.
        unmatched: Rows with an answer, but without a true label.
        repeated: Number of rows whose path is also that of an earlier row.
        top: The accuracy for each number of classes that the table has; `top[0]` is that of the best class.
        classes: The metrics of each class that is a true label or a best class, sorted by label.
        confusion: The confusion matrix, sorted by labels; `confusion_matrix` returns it as an array.
        calibration: None if the table has values that are no probabilities, as models with linear activation return.
        mistakes: The mistakes with the highest probability, in descending order.
        unknown: True labels that are in no row of the table at any rank, with their number of images. Either the
            model never returned them, or they are written otherwise; they count as wrong.
        shared: Labels of several classes of the model, which are evaluated as one.
        truths: The true label of each row of the table; None where it has none. They are not compared.
        answers: The answers of the table, for `write_page`. They are not compared.
        versions: The versions that answered, in the order of their first rows; empty if the table does not contain
            them.
    """

    table: str
    rows: int
    images: int
    errors: SkippedRows
    unmatched: SkippedRows
    repeated: int
    top: tuple[TopAccuracy, ...]
    classes: tuple[ClassMetrics, ...]
    confusion: tuple[Confusion, ...]
    calibration: Calibration | None
    mistakes: tuple[Mistake, ...]
    unknown: tuple[tuple[str, int], ...]
    shared: tuple[str, ...]
    truths: tuple[str | None, ...] = field(repr=False, compare=False)
    answers: Answers = field(repr=False, compare=False)
    versions: tuple[AnsweringVersion, ...] = ()

    @property
    def accuracy(self) -> float:
        """The share of images whose best class is the true label."""
        return self.top[0].accuracy

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that are true labels."""
        return float(np.mean([each.recall for each in self.classes if each.recall is not None]))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of all classes."""
        return float(np.mean([each.f1 for each in self.classes]))

    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """Return the number of images, `[true class, best class]`, in the order of `classes`."""
        places = {each.label: place for place, each in enumerate(self.classes)}
        matrix = np.zeros((len(places), len(places)), np.int64)
        for cell in self.confusion:
            matrix[places[cell.truth], places[cell.predicted]] = cell.images
        return matrix
