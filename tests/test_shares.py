"""Shares of images as counts: the Wilson interval, and how many images settle a share."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from camserve.export.gate.metric import Metric
from camserve.export.gate.tolerances import Limit
from camserve.shares import images_to_settle, wilson_interval


@pytest.mark.parametrize(("found", "images"), [(0, 75), (1, 75), (3, 75), (75, 75), (50, 1000), (1, 1), (0, 1)])
def test_interval_is_that_of_scipy(found: int, images: int) -> None:
    expected = binomtest(found, images).proportion_ci(0.95, "wilson")
    assert wilson_interval(found, images) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("found", "passed"), [(0, True), (1, True), (2, True), (3, False), (10, False)])
def test_one_percent_of_75_images_is_refused_from_three(found: int, passed: bool) -> None:
    metric = Metric.share("onnx", "top1_disagreement", found, 75, Limit(0.01, 0.01, "top1_disagreement"))
    assert metric.passed == passed


@pytest.mark.parametrize(("found", "images", "limit"), [(0, 75, 0.01), (1, 75, 0.01), (2, 40, 0.02), (7, 1000, 0.01)])
def test_number_of_images_that_settles_is_the_smallest(found: int, images: int, limit: float) -> None:
    settled = images_to_settle(found, images, limit)
    assert settled is not None
    assert settled > images

    def excludes(count: int) -> bool:
        expected = binomtest(0, count).proportion_ci(0.95, "wilson") if not found else _ends(found / images, count)
        return not expected[0] <= limit <= expected[1]

    assert excludes(settled)
    assert not excludes(settled - 1)


def _ends(share: float, images: int) -> tuple[float, float]:
    """Return the ends of the interval of a share: where the score test rejects (Wilson 1927)."""
    z = 1.959963984540054
    root = math.sqrt(z**2 / 4 / images**2 + share * (1 - share) / images)
    center, scale = share + z**2 / 2 / images, 1 + z**2 / images
    return (center - z * root) / scale, (center + z * root) / scale


@pytest.mark.parametrize(
    ("found", "images", "limit"), [(10, 75, 0.01), (0, 400, 0.01), (1, 100, 0.01), (3, 75, 0.0), (3, 75, 1.0)]
)
def test_settled_share_needs_no_more_images(found: int, images: int, limit: float) -> None:
    assert images_to_settle(found, images, limit) is None
