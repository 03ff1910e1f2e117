"""The notebook's figure: each photo, and over it the map of the class that the model sees in it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from camserve.argument_checks import check_type, check_whole
from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.classifier import Classifier
from camserve.clients.images.loading import ImageInput
from camserve.errors import UsageError
from camserve.heatmap import as_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CAMExplainer"]

_COLUMNS = 4
_INCHES = 3.2
_LETTERS = 30
"""What fits over an image of that many inches, on one line."""


class CAMExplainer:
    """Shows where in images a model sees what it sees: `CAMExplainer(classifier).fit(*paths).plot()`.

    Args:
        classifier: A classifier whose model answers with maps.

    Raises:
        UsageError: If it is no `Classifier`, such as an `AsyncClassifier`.

    Attributes:
        results: The answers of the last `fit`, in the order of its images; empty before it.
    """

    def __init__(self, classifier: Classifier) -> None:
        check_type("classifier", classifier, Classifier, "a Classifier")
        self._classifier = classifier
        self.results: tuple[Classification, ...] = ()

    def fit(self, *images: ImageInput) -> CAMExplainer:
        """Classifies images, several at a time, keeps the answers in `results` and returns itself.

        Raises:
            UsageError: If no image is given, or the model has no maps.
            CamserveError: Whatever else `classify` raises; the answers of an earlier call stand.
        """
        if not images:
            raise UsageError("there is no image to explain", hint="Give one or more")
        self.results = tuple(self._classifier.classify_many(images, cam=True))
        return self

    def plot(self, ax: Axes | Sequence[Axes] | None = None, *, columns: int | None = None) -> Figure:
        """Draws each image and, over it, the map of its best class, each at half opacity, the map in jet.

        Args:
            ax: Where to draw: one of matplotlib's axes for each image; on a new figure unless given.
            columns: How many images stand side by side on a new figure; at most four unless given.

        Returns:
            The matplotlib figure. A notebook shows it by itself.

        Raises:
            UsageError: If nothing was fitted yet, the axes are fewer or more than the images, or matplotlib is not
                installed.
        """
        if not self.results:
            raise UsageError("there is nothing to plot yet", hint="Call fit(image) first")
        maps = [result.cams[0] for result in self.results]
        axes = _new_axes(len(maps), columns) if ax is None else _given_axes(ax, len(maps))
        for each, cam in zip(axes, maps, strict=True):
            _draw(each, cam)
        figure: Figure = axes[0].get_figure()
        return figure


def _draw(axes: Any, cam: ActivationMap) -> None:
    axes.imshow(np.asarray(as_rgb(cam.image)), alpha=0.5)
    axes.imshow(cam.upsample(), cmap="jet", alpha=0.5)
    label = textwrap.shorten(cam.label, 2 * _LETTERS, placeholder=" …")
    axes.set_title("\n".join(textwrap.wrap(f"{label}: {cam.probability:.1%}", _LETTERS)), fontsize="medium")
    axes.set_axis_off()


def _given_axes(ax: Axes | Sequence[Axes], count: int) -> list[Any]:
    axes: list[Any] = np.asarray(ax, dtype=object).ravel().tolist()
    if len(axes) != count:
        raise UsageError(f"there are {len(axes)} axes for {count} images", hint="Give one for each")
    return axes


def _new_axes(count: int, columns: int | None) -> list[Any]:
    if columns is not None:
        check_whole("columns", columns)
    if columns is not None and columns < 1:
        raise UsageError(f"columns is {columns}", hint="Put at least one image into a row")
    across = min(count, columns or _COLUMNS)
    down = math.ceil(count / across)
    figure = _new_figure(figsize=(_INCHES * across, (_INCHES + 0.3) * down), layout="constrained")
    cells: list[Any] = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for empty in cells[count:]:
        figure.delaxes(empty)
    return cells[:count]


def _new_figure(**settings: Any) -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (only who plots needs it)
    except ImportError as error:
        raise UsageError(
            f"matplotlib cannot be imported: {error}", hint="Install it with pip install 'camserve[plot]'"
        ) from error

    class NotebookFigure(Figure):  # type: ignore[misc]  # matplotlib is not read for types
        """A figure that pyplot does not know: it would keep each one, and a notebook would show it a second time."""

        def _repr_png_(self) -> bytes:  # notebooks ask for it where pyplot was never loaded
            stream = BytesIO()
            self.savefig(stream, format="png", bbox_inches="tight")
            return stream.getvalue()

    return NotebookFigure(**settings)
