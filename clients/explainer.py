"""Plot images with the class activation maps of their best classes, with matplotlib."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from camserve.argument_checks import check_type, check_whole
from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.classifier import Classifier
from camserve.errors import UsageError
from camserve.heatmap import Style, as_rgb, look, value_range
from camserve.images.loading import ImageInput, load_image
from camserve.text import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CAMExplainer"]

_PANELS_PER_ROW = 4
_INCHES, _TITLE_INCHES = 3.2, 0.4
_MIN_DPI, _MAX_DPI = 100, 300
_MIN_SIDE = 224
"""Smaller images are enlarged by a whole factor under the map, which would otherwise have visible steps."""

_LINE = 30
"""Characters of a title that fit above a panel of that many inches."""


class CAMExplainer:
    """Show which parts of images a model's predictions are based on: `CAMExplainer(classifier).fit(*paths).plot()`.

    Args:
        classifier: A classifier whose model returns class activation maps.

    Raises:
        UsageError: If it is not a `Classifier`, such as an `AsyncClassifier`.

    Attributes:
        results: The results of the last `fit`, in the order of its images; empty before.
    """

    def __init__(self, classifier: Classifier) -> None:
        check_type("classifier", classifier, Classifier, "a Classifier")
        self._classifier = classifier
        self._images: tuple[Image.Image, ...] = ()
        self.results: tuple[Classification, ...] = ()

    def fit(self, *images: ImageInput) -> CAMExplainer:
        """Classify images, store the results in `results` and return this explainer.

        Raises:
            UsageError: If no image is passed, or the model has no maps.
            CamserveError: As `classify`; the results of an earlier call remain.
        """
        if not images:
            raise UsageError("fit requires at least one image, got none", hint='Call fit("cat.jpg")')
        decoded = tuple(load_image(image, self._classifier.decode_options) for image in images)
        self.results = tuple(self._classifier.classify_many(decoded, cam=True))
        self._images = decoded
        return self

    def plot(
        self, ax: Axes | Sequence[Axes] | None = None, *, columns: int | None = None, style: Style = "highlight"
    ) -> Figure:
        """Draw each image, and beside it the map of its best class over the image, with a color scale.

        Both panels show the image at its own resolution. With the style `notebook`, there is one panel per image: the
        network's input and the map in jet, each at half opacity.

        Args:
            ax: Where to draw: one of matplotlib's axes per image, for the map over the image alone, or two, for the
                image and the map (default: a new figure).
            columns: Number of images per row of a new figure (default: at most 2, or 4 with `notebook`).
            style: `highlight` or `notebook`, as in `ActivationMap.overlay`.

        Returns:
            The matplotlib figure, which a notebook displays.

        Raises:
            UsageError: If `fit` was not called, the number of axes does not match the images, the style is unknown or
                matplotlib is not installed.
        """
        if not self.results:
            raise UsageError("there are no results to plot", hint="Call fit(image) first")
        look(style)
        maps = [result.cams[0] for result in self.results]
        panels = 1 if style == "notebook" else 2
        if ax is None:
            axes = _new_axes([cam.image for cam in maps] if panels == 1 else self._images, panels, columns)
        else:
            axes, panels = _check_axes(ax, len(maps), panels)
        for place, (image, cam) in enumerate(zip(self._images, maps, strict=True)):
            _draw(axes[panels * place : panels * (place + 1)], as_rgb(image), cam, style)
        figure: Figure = axes[0].get_figure()
        return figure


def _draw(axes: Sequence[Any], image: Image.Image, cam: ActivationMap, style: Style) -> None:
    if style == "notebook":
        axes[-1].imshow(np.asarray(as_rgb(cam.image)), alpha=0.5)
        axes[-1].imshow(cam.upsample(), cmap="jet", alpha=0.5)
    else:
        for each in axes[:-1]:
            each.imshow(np.asarray(image))
        _draw_overlay(axes[-1], image, cam)
    label = textwrap.shorten(cam.label, 2 * _LINE, placeholder=" …")
    axes[-1].set_title("\n".join(textwrap.wrap(f"{label}: {cam.probability:.1%}", _LINE)), fontsize="medium")
    for each in axes:
        each.set_axis_off()


def _draw_overlay(axes: Any, image: Image.Image, cam: ActivationMap) -> None:
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415  (required only for plots)
    from matplotlib.colors import ListedColormap, Normalize  # noqa: PLC0415

    factor = math.ceil(_MIN_SIDE / min(image.size))
    size = (image.height * factor, image.width * factor)
    axes.imshow(np.asarray(cam.overlay(image, size=size)))
    scale = ScalarMappable(Normalize(*value_range(cam.grid, size)), ListedColormap(look().table / 255))
    axes.get_figure().colorbar(scale, ax=axes, fraction=0.046, pad=0.04)


def _check_axes(ax: Axes | Sequence[Axes], images: int, panels: int) -> tuple[list[Any], int]:
    """Return the axes as a list, and how many there are per image."""
    axes: list[Any] = np.asarray(ax, dtype=object).ravel().tolist()
    if len(axes) not in (images, panels * images):
        raise UsageError(
            f"{count(len(axes), 'axes', 'axes')} do not match {count(images, 'image')}",
            hint=f"Pass one per image{' or two' if panels > 1 else ''}",
        )
    return axes, len(axes) // images


def _new_axes(images: Sequence[Image.Image], panels: int, columns: int | None) -> list[Any]:
    if columns is not None:
        check_whole("columns", columns)
        if columns < 1:
            raise UsageError(f"columns must be at least 1, got {columns}", hint="Pass the number of images per row")
    across = min(len(images), columns or _PANELS_PER_ROW // panels) * panels
    down = math.ceil(len(images) * panels / across)
    tallest = max(image.height / image.width for image in images)
    resolution = max(chain.from_iterable(image.size for image in images)) / _INCHES
    figure = _new_figure(
        figsize=(_INCHES * across, (_INCHES * min(max(tallest, 0.5), 2.0) + _TITLE_INCHES) * down),
        layout="constrained",
        dpi=min(max(resolution, _MIN_DPI), _MAX_DPI),
    )
    cells: list[Any] = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for empty in cells[len(images) * panels :]:
        figure.delaxes(empty)
    return cells[: len(images) * panels]


def _new_figure(**settings: Any) -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (required only for plots)
    except ImportError as error:
        raise UsageError(
            f"matplotlib cannot be imported: {error}", hint="Install it: pip install 'camserve[plot]'"
        ) from None

    class NotebookFigure(Figure):  # type: ignore[misc]  # mypy does not follow imports of matplotlib
        """A figure that is not registered with pyplot, which would keep it and display it a second time."""

        def _repr_png_(self) -> bytes:  # notebooks call it if pyplot was never imported
            stream = BytesIO()
            self.savefig(stream, format="png", bbox_inches="tight")
            return stream.getvalue()

    return NotebookFigure(**settings)
