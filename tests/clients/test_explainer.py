from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.clients import CAMExplainer, Classifier
from camserve.errors import UsageError
from camserve.serving import TritonServer


@pytest.fixture(autouse=True)
def without_a_screen() -> Iterator[None]:
    mpl.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def explainer(toy_server: TritonServer) -> Iterator[CAMExplainer]:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        yield CAMExplainer(classifier)


def test_the_figure_lays_the_map_in_jet_over_the_photo_each_at_half_opacity(explainer: CAMExplainer) -> None:
    photo = load_sample_image("flower.jpg")
    figure = explainer.fit(photo).plot()
    assert explainer.result is not None
    best = explainer.result.cams[0]
    (axes,) = figure.axes
    picture, heat = axes.images
    assert (picture.get_alpha(), heat.get_alpha(), heat.get_cmap().name) == (0.5, 0.5, "jet")
    assert np.array_equal(picture.get_array(), np.asarray(best.picture))
    assert np.array_equal(heat.get_array(), best.upsample())
    assert axes.get_title() == f"{best.label}: {best.probability:.1%}"
    assert best.class_index == explainer.result.top[0].index


def test_a_figure_is_shown_once_and_not_kept(explainer: CAMExplainer) -> None:
    from matplotlib import pyplot

    figure: Any = explainer.fit(load_sample_image("flower.jpg")).plot()
    assert pyplot.get_fignums() == []
    with Image.open(BytesIO(figure._repr_png_())) as shown:
        assert shown.format == "PNG"


def test_it_draws_where_it_is_told(explainer: CAMExplainer) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2)
    photo = load_sample_image("china.jpg")
    assert explainer.fit(photo).plot(axes[1]) is figure
    assert [len(each.images) for each in axes] == [0, 2]


def test_plotting_before_fitting_is_refused(explainer: CAMExplainer) -> None:
    with pytest.raises(UsageError, match="fit"):
        explainer.plot()


def test_without_matplotlib_the_package_is_named(explainer: CAMExplainer, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer.fit(load_sample_image("china.jpg"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'camserve\[plot\]'"):
        explainer.plot()
