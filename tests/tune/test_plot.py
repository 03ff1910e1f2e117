"""The plot of a tuning result."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camserve.errors import UsageError
from camserve.tune.plot import candidate_names, plot
from camserve.tune.result import TunedCandidate, TunedPoint, TuneResult

_SPEEDS = {("openvino", "bf16"): 150.0, ("openvino", "int8"): 120.0, ("onnxruntime", "int8"): 90.0}


def _points(peak: float, batch: int) -> tuple[TunedPoint, ...]:
    """Return what a server does that answers at most `peak` images/s."""
    points = []
    for concurrency in (1, 4, 16, 64):
        rate = peak * concurrency / (concurrency + 2)
        p50 = 1000 * concurrency / rate + batch
        points.append(TunedPoint(concurrency, rate, (0.97 * rate, 1.03 * rate), p50, 1.3 * p50))
    return tuple(points)


def _result(limit: float | None = 150.0) -> TuneResult:
    candidates = []
    for (backend, precision), instances, batch in product(_SPEEDS, (1, 2, 4), (4, 8)):
        peak = _SPEEDS[backend, precision] * (1 + 0.05 * instances) * (1 + 0.01 * batch)
        options = {"instances": instances, "threads": 8 // instances, "max_batch_size": batch, "warmup": True}
        dropped = None if peak > 150 else "slower than the fastest"
        points = _points(peak, batch)[: 2 if dropped else 4]
        candidates.append(TunedCandidate(f"bundles/{precision}", precision, backend, options, points, dropped))
    winner = max(candidates, key=lambda candidate: candidate.points[-1].images_per_second)
    return TuneResult(winner, winner.points[2], limit, tuple(candidates), (), 60.0)


def test_a_plot_shows_the_winner_and_the_dropped(tmp_path: Path) -> None:
    plot(_result(), tmp_path / "tune.png")
    with Image.open(tmp_path / "tune.png") as image:
        assert image.size == (1210, 550)
        colors = {tuple(color) for color in np.asarray(image.convert("RGB")).reshape(-1, 3)}
    assert {(214, 39, 40), (191, 191, 191)} <= colors


def test_the_limit_is_drawn_only_if_there_is_one(tmp_path: Path) -> None:
    plot(_result(), tmp_path / "with.png")
    plot(_result(None), tmp_path / "without.png")
    assert (tmp_path / "with.png").read_bytes() != (tmp_path / "without.png").read_bytes()


def test_names_contain_what_differs_and_are_different() -> None:
    result = _result()
    names = candidate_names(result.candidates)
    assert names[0] == "openvino bf16 instances=1 threads=8 max_batch_size=4"
    assert len(set(names)) == len(result.candidates)


def test_a_result_without_a_measurement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to plot"):
        plot(TuneResult(None, None, None, (), (), 1.0), tmp_path / "tune.png")
    assert list(tmp_path.iterdir()) == []


def test_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="requires matplotlib") as caught:
        plot(_result(), tmp_path / "tune.png")
    assert caught.value.hint == "Install it: pip install 'camserve[plot]'"


def test_a_result_is_json() -> None:
    result = _result()
    document = json.loads(json.dumps(result.to_json()))
    assert document["winner"] in document["candidates"]
    assert document["winner"]["options"]["warmup"] == "on"
