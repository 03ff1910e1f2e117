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
from camserve.serving import TritonServer


@pytest.fixture(autouse=True)
def without_a_screen() -> Iterator[None]:
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


def test_the_figure_lays_the_map_in_jet_over_the_photo_each_at_half_opacity(explainer: CAMExplainer) -> None:
    figure = explainer.fit(photo("flower.jpg")).plot()
    (result,) = explainer.results
    best = result.cams[0]
    (axes,) = figure.axes
    image, heat = axes.images
    assert (image.get_alpha(), heat.get_alpha(), heat.get_cmap().name) == (0.5, 0.5, "jet")
    assert np.array_equal(image.get_array(), np.asarray(best.image))
    assert np.array_equal(heat.get_array(), best.upsample())
    assert axes.get_title() == f"{best.label}: {best.probability:.1%}"
    assert best.index == result.top[0].index


def test_several_images_stand_in_a_grid_in_their_order(explainer: CAMExplainer) -> None:
    images = [photo(name) for name in ("flower.jpg", "china.jpg") * 3][:5]
    figure = explainer.fit(*images).plot()
    assert len(explainer.results) == len(figure.axes) == 5
    for axes, result in zip(figure.axes, explainer.results, strict=True):
        assert np.array_equal(axes.images[1].get_array(), result.cams[0].upsample())
    rows = {round(axes.get_subplotspec().rowspan.start) for axes in figure.axes}
    assert rows == {0, 1}  # four side by side
    assert {axes.get_subplotspec().colspan.start for axes in explainer.plot(columns=2).axes} == {0, 1}
    with pytest.raises(UsageError, match="columns is 0"):
        explainer.plot(columns=0)


def test_a_image_that_cannot_be_read_leaves_the_answers_of_before(explainer: CAMExplainer) -> None:
    explainer.fit(photo("flower.jpg"))
    before = explainer.results
    with pytest.raises(ImageError):
        explainer.fit(photo("china.jpg"), b"no image")
    assert explainer.results is before


def test_explaining_no_image_is_refused(explainer: CAMExplainer) -> None:
    with pytest.raises(UsageError, match="no image"):
        explainer.fit()


def test_a_figure_is_shown_once_and_not_kept(explainer: CAMExplainer) -> None:
    from matplotlib import pyplot

    figure: Any = explainer.fit(photo("flower.jpg")).plot()
    assert pyplot.get_fignums() == []
    with Image.open(BytesIO(figure._repr_png_())) as shown:
        assert shown.format == "PNG"


def test_it_draws_where_it_is_told(explainer: CAMExplainer) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3)
    assert explainer.fit(photo("china.jpg")).plot(axes[1]) is figure
    assert [len(each.images) for each in axes] == [0, 2, 0]
    assert explainer.fit(photo("china.jpg"), photo("flower.jpg")).plot([axes[0], axes[2]]) is figure
    assert [len(each.images) for each in axes] == [2, 2, 2]
    with pytest.raises(UsageError, match="3 axes for 2 images"):
        explainer.plot(axes)


def test_a_long_label_is_cut_to_two_lines(explainer: CAMExplainer) -> None:
    result = explainer.fit(photo("china.jpg")).results[0]
    cam = replace(result.cams[0], label="a very long name of a class " * 9)
    explainer.results = (replace(result, cams=(cam,)),)
    title = explainer.plot().axes[0].get_title()
    assert title.count("\n") <= 2
    assert max(len(line) for line in title.splitlines()) <= 30


def test_plotting_before_fitting_is_refused(explainer: CAMExplainer) -> None:
    with pytest.raises(UsageError, match="fit"):
        explainer.plot()


def test_without_matplotlib_the_package_is_named(explainer: CAMExplainer, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer.fit(photo("china.jpg"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'camserve\[plot\]'"):
        explainer.plot()
