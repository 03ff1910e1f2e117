"""The warnings and rows of a measurement, for points that no server of a test gives reliably."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camserve.cli.load_view import points_rows, print_points
from camserve.clients import LatencySummary, LoadLevel, LoadPoint, LoadResult, ServerTimes

POINT = LoadPoint(
    level=LoadLevel(rate=100.0),
    images_per_second=99.0,
    interval=(95.0, 103.0),
    requests_per_second=99.0,
    latency=LatencySummary(0.01, 0.02, 0.03, 0.04, 0.05, 0.015),
    answers=594,
    errors={},
    windows=(),
    stable=True,
    reported_windows=3,
    late=0,
    unanswered=1,
    oldest=0.01,
    client_cpu=0.2,
    host_share=0.1,
    client_limited=False,
    server=ServerTimes(0.002, 0.008),
)


def result(point: LoadPoint, cores: int = 2) -> LoadResult:
    return LoadResult("127.0.0.1:8001", "toy", "1", 1, 1, cores, same_host=True, points=[point])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client_limited": True, "client_cpu": 0.95}, "used 95% of a core per process and may be the limit"),
        (
            {"requests_per_second": 50.0, "answers": 300, "unanswered": 300, "oldest": 3.0},
            "less than were due; 300",
        ),
        ({"late": 5}, "5 requests started more than 10 ms late"),
        (
            {"errors": {"Exceeds maximum queue size (UNAVAILABLE)": 7}},
            "7 requests failed, not counted as answers: Exceeds",
        ),
        ({"errors": {"a": 7, "b": 2}}, "9 requests failed, not counted as answers: 7 of a; 2 of b"),
        ({"errors": {"a": 7}, "stable": False}, "Reduce the load until no request fails"),
        ({"stable": False}, "the mean of all of them. Lengthen --window"),
        ({"stopped": "the server answered nothing for 1 s"}, "warning: 100 requests/s: the server answered nothing"),
    ],
)
def test_what_limits_a_row_is_a_warning(
    changes: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_points(result(replace(POINT, **changes)))  # type: ignore[arg-type]
    assert message in capsys.readouterr().err


def test_a_good_row_has_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    print_points(result(POINT))
    assert "warning" not in capsys.readouterr().err


def test_a_row_has_milliseconds_and_both_ends_of_the_interval() -> None:
    (row,) = points_rows(result(POINT))
    assert (row["rate"], row["low"], row["high"]) == (100.0, 95.0, 103.0)
    assert (row["p50_ms"], row["p99_ms"], row["maximum_ms"], row["queue_ms"], row["compute_ms"]) == (10, 40, 50, 2, 8)


@pytest.mark.parametrize("columns", [60, 120])
def test_a_table_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_points(result(POINT))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "Stable" in lines[1]
    assert "99.0" in lines[3]
