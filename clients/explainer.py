"""The notebook's figure: a photo, and over it the map of the class that the model sees in it."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from camserve.clients.answers.results import Classification
from camserve.clients.classifier import Classifier
from camserve.clients.pictures.images import ImageInput
from camserve.errors import UsageError
from camserve.heatmap import as_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CAMExplainer"]


class CAMExplainer:
    """Shows where in a picture a model sees what it sees: `CAMExplainer(classifier).fit(path).plot()`.

    Args:
        classifier: A classifier whose model answers with maps.

    Attributes:
        result: The answer of the last `fit`, or None before it.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.result: Classification | None = None

    def fit(self, image: ImageInput) -> CAMExplainer:
        """Classifies a picture, keeps the answer in `result` and returns itself; raises what `classify` raises."""
        self.result = self._classifier.classify(image, cam=True)
        return self

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draws the picture and, over it, the map of its best class, each at half opacity, the map in jet.

        Args:
            ax: Where to draw; on a new figure unless given.

        Returns:
            The matplotlib figure.

        Raises:
            UsageError: If nothing was fitted yet, or matplotlib is not installed.
        """
        if self.result is None:
            raise UsageError("there is nothing to plot yet", hint="Call fit(image) first")
        axes: Any = _new_axes() if ax is None else ax
        best = self.result.cams[0]
        axes.imshow(np.asarray(as_rgb(best.picture)), alpha=0.5)
        axes.imshow(best.upsample(), cmap="jet", alpha=0.5)
        axes.set_title(f"{best.label}: {best.probability:.1%}")
        axes.set_axis_off()
        return axes.get_figure()


def _new_axes() -> Any:
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

    return NotebookFigure().subplots()
