"""Figures of images and maps with matplotlib."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.clients import CAMExplainer, Classifier, Pixels
from camserve.errors import ImageError, UsageError
from camserve.heatmap import value_range
from camserve.serving import TritonServer


@pytest.fixture(autouse=True)
def without_a_display() -> Iterator[None]:
    mpl.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def photo(name: str) -> Pixels:
    return Pixels(load_sample_image(name), "rgb")


@pytest.fixture
def explainer(toy_server: TritonServer) -> Iterator[CAMExplainer]:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        yield CAMExplainer(classifier)


def panels(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.images]


def test_image_and_overlay_are_side_by_side_at_full_resolution(explainer: CAMExplainer) -> None:
    original = load_sample_image("flower.jpg")
    figure = explainer.fit(photo("flower.jpg")).plot()
    best = explainer.results[0].cams[0]
    left, right = panels(figure)
    assert np.array_equal(left.images[0].get_array(), original)
    assert np.array_equal(right.images[0].get_array(), np.asarray(best.overlay(photo("flower.jpg"))))
    assert (left.get_title(), right.get_title()) == ("", f"{best.label}: {best.probability:.1%}")
    assert left.get_position().x0 < right.get_position().x0
    assert best.index == explainer.results[0].top[0].index


def test_the_color_scale_has_the_range_of_the_map(explainer: CAMExplainer) -> None:
    figure = explainer.fit(photo("flower.jpg")).plot()
    (scale,) = [axes for axes in figure.axes if not axes.images]
    low, high = value_range(explainer.results[0].cams[0].grid, load_sample_image("flower.jpg").shape[:2])
    assert scale.get_ylim() == pytest.approx((low, high))


def test_style_notebook_blends_image_and_jet_at_half_opacity(explainer: CAMExplainer) -> None:
    figure = explainer.fit(photo("flower.jpg")).plot(style="notebook")
    best = explainer.results[0].cams[0]
    (axes,) = figure.axes
    image, heat = axes.images
    assert (image.get_alpha(), heat.get_alpha(), heat.get_cmap().name) == (0.5, 0.5, "jet")
    assert np.array_equal(image.get_array(), np.asarray(best.image))
    assert np.array_equal(heat.get_array(), best.upsample())
    assert axes.get_title() == f"{best.label}: {best.probability:.1%}"


def test_a_small_image_is_enlarged_under_a_smooth_map(explainer: CAMExplainer) -> None:
    digit = np.random.default_rng(0).integers(0, 256, (28, 20), np.uint8)
    left, right = panels(explainer.fit(digit).plot())
    assert left.images[0].get_array().shape == (28, 20, 3)
    assert right.images[0].get_array().shape == (12 * 28, 12 * 20, 3)


def test_a_stream_is_read_once(explainer: CAMExplainer) -> None:
    stream = BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).save(stream, "PNG")
    stream.seek(0)
    left, _ = panels(explainer.fit(stream).plot())
    assert np.array_equal(left.images[0].get_array(), load_sample_image("china.jpg"))


def test_several_images_fill_a_grid_in_order(explainer: CAMExplainer) -> None:
    names = (["flower.jpg", "china.jpg"] * 3)[:5]
    figure = explainer.fit(*map(photo, names)).plot()
    shown = panels(figure)
    assert len(explainer.results) == len(names)
    assert len(shown) == 2 * len(names)
    for axes, name in zip(shown[::2], names, strict=True):
        assert np.array_equal(axes.images[0].get_array(), load_sample_image(name))
    assert {axes.get_subplotspec().rowspan.start for axes in shown} == {0, 1, 2}  # two images per row
    assert {axes.get_subplotspec().colspan.start for axes in panels(explainer.plot(columns=1))} == {0, 1}
    in_one_panel = explainer.plot(style="notebook").axes
    assert {axes.get_subplotspec().rowspan.start for axes in in_one_panel} == {0, 1}  # four images per row
    with pytest.raises(UsageError, match="columns must be at least 1, got 0"):
        explainer.plot(columns=0)


def test_an_unreadable_image_leaves_earlier_results_unchanged(explainer: CAMExplainer) -> None:
    explainer.fit(photo("flower.jpg"))
    before = explainer.results
    with pytest.raises(ImageError):
        explainer.fit(photo("china.jpg"), b"no image")
    assert explainer.results is before
    assert len(panels(explainer.plot())) == 2


def test_fit_requires_an_image(explainer: CAMExplainer) -> None:
    with pytest.raises(UsageError, match="at least one image"):
        explainer.fit()


def test_a_figure_is_not_registered_with_pyplot(explainer: CAMExplainer) -> None:
    from matplotlib import pyplot

    figure: Any = explainer.fit(photo("flower.jpg")).plot()
    assert pyplot.get_fignums() == []
    with Image.open(BytesIO(figure._repr_png_())) as shown:
        assert shown.format == "PNG"


def test_plot_draws_on_one_or_two_axes_per_image(explainer: CAMExplainer) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4)
    assert explainer.fit(photo("china.jpg")).plot(axes[1]) is figure
    assert [len(each.images) for each in axes] == [0, 1, 0, 0]
    assert np.array_equal(
        axes[1].images[0].get_array(), np.asarray(explainer.results[0].cams[0].overlay(photo("china.jpg")))
    )
    assert explainer.fit(photo("china.jpg"), photo("flower.jpg")).plot(list(axes)) is figure
    assert np.array_equal(axes[2].images[-1].get_array(), load_sample_image("flower.jpg"))
    with pytest.raises(UsageError, match=r"3 axes do not match 2 images\. Pass one per image or two"):
        explainer.plot(axes[:3])
    with pytest.raises(UsageError, match=r"4 axes do not match 2 images\. Pass one per image$"):
        explainer.plot(list(axes), style="notebook")


def test_a_long_label_is_shortened_to_two_lines(explainer: CAMExplainer) -> None:
    result = explainer.fit(photo("china.jpg")).results[0]
    cam = replace(result.cams[0], label="a very long name of a class " * 9)
    explainer.results = (replace(result, cams=(cam,)),)
    title = panels(explainer.plot())[1].get_title()
    assert title.count("\n") <= 2
    assert max(len(line) for line in title.splitlines()) <= 30


def test_plot_requires_fit(explainer: CAMExplainer) -> None:
    with pytest.raises(UsageError, match="fit"):
        explainer.plot()


def test_an_unknown_style_is_refused(explainer: CAMExplainer) -> None:
    with pytest.raises(UsageError, match="unknown style 'paper'"):
        explainer.fit(photo("china.jpg")).plot(style="paper")  # type: ignore[arg-type]


def test_without_matplotlib_the_extra_is_named(explainer: CAMExplainer, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer.fit(photo("china.jpg"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'camserve\[plot\]'"):
        explainer.plot()
