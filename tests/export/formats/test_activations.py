"""The ranges of activations on calibration images: extremes of a few images are left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from support.graphs import Graph, images

from camserve.errors import ConversionError
from camserve.export.formats.activations import ActivationRanges, activation_ranges


def doubled() -> onnx.ModelProto:
    """Return a graph that computes twice the pixels, in the tensor `twice`."""
    graph = Graph()
    model, _ = graph.classifier(graph.add("Mul", graph.features, graph.constant(np.float32(2)), name="twice"))
    return model


def with_extremes(count: int, extremes: int) -> npt.NDArray[np.float32]:
    """Return images from 0 to 1, of which the first ones contain -50 and 70."""
    batch = images(count).astype(np.float32)
    batch[:, 0, 0, 0], batch[:, 0, 0, 1] = 0, 1
    batch[:extremes, 1, 1] = -50, 70, 0
    return batch


def test_extremes_of_one_in_a_hundred_images_are_left_out() -> None:
    assert ActivationRanges(doubled(), with_extremes(200, 2)).of(["twice"]) == {"twice": (0, 2)}


@pytest.mark.parametrize(("count", "extremes"), [(200, 3), (99, 1)])
def test_other_extremes_are_represented(count: int, extremes: int) -> None:
    assert ActivationRanges(doubled(), with_extremes(count, extremes)).of(["twice"]) == {"twice": (-100, 140)}


def test_without_a_share_no_image_is_left_out() -> None:
    assert activation_ranges(doubled(), ["twice"], with_extremes(200, 1)) == {"twice": (-100, 140)}


def test_repeated_images_change_no_range() -> None:
    batch = np.cumsum(np.ones((150, 8, 8, 3), np.float32), axis=0)
    once = ActivationRanges(doubled(), batch).of(["twice"])
    assert ActivationRanges(doubled(), np.concatenate([batch, batch])).of(["twice"]) == once == {"twice": (4, 298)}


def test_values_that_are_not_finite_are_refused_in_a_single_image() -> None:
    batch = with_extremes(200, 0)
    batch[7, 3, 3] = np.inf
    with pytest.raises(ConversionError, match="'twice' has NaN or infinite values"):
        ActivationRanges(doubled(), batch).of(["twice"])
