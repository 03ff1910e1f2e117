"""A server that restarts is waited for, and an outage is reported once."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable

import pytest

from camserve.clients.scoring.pace import Pace
from camserve.clients.scoring.patience import OutageReport, Patience, check_patience, duration
from camserve.errors import (
    CamserveError,
    ConnectionFailedError,
    DeadlineError,
    NotLoadedError,
    RequestError,
    UsageError,
)


def failing(times: int, error: CamserveError) -> Callable[[], str]:
    left = times

    def attempt() -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return "answer"

    return attempt


@pytest.mark.parametrize("kind", [ConnectionFailedError, DeadlineError, NotLoadedError])
def test_an_outage_is_bridged_and_reported_once(kind: type[CamserveError]) -> None:
    said: list[str] = []
    assert Patience(300, OutageReport(said.append, 300)).bridge(failing(2, kind("no answer"))) == "answer"
    assert said[0] == "no answer; waiting for the server for up to 5 min"
    assert said[1].startswith("the server replies again, after 0.3")
    assert len(said) == 2


def test_several_threads_report_an_outage_once() -> None:
    said: list[str] = []
    patience = Patience(300, OutageReport(said.append, 300))
    attempts = [failing(3, ConnectionFailedError("no answer")) for _ in range(5)]
    threads = [threading.Thread(target=patience.bridge, args=[attempt]) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 2


def test_patience_ends_with_the_original_error_and_the_time_waited() -> None:
    error = ConnectionFailedError("no server", hint="Start the server")
    with pytest.raises(ConnectionFailedError, match=r"no server \(waited for 0\.\d+ s\)\. Start the server; to wait"):
        Patience(0.35).bridge(failing(100, error))


def test_without_patience_the_error_is_raised_at_once() -> None:
    error = ConnectionFailedError("no server")
    with pytest.raises(ConnectionFailedError) as raised:
        Patience(0).bridge(failing(1, error))
    assert raised.value is error


def test_a_refusal_is_not_bridged() -> None:
    with pytest.raises(RequestError, match=r"refused$"):
        Patience(300).bridge(failing(1, RequestError("refused")))


def test_a_stop_ends_the_wait() -> None:
    patience = Patience(300)
    timer = threading.Timer(0.2, patience.stop)
    timer.start()
    began = time.monotonic()
    with pytest.raises(ConnectionFailedError):
        patience.bridge(failing(100, ConnectionFailedError("no server")))
    assert time.monotonic() - began < 2


def test_a_late_notice_of_an_outage_that_has_ended_is_ignored() -> None:
    said: list[str] = []
    report = OutageReport(said.append, 300)
    report.begins(10.0, "no answer")
    report.ends(20.0)
    report.begins(15.0, "no answer")
    report.ends(21.0)
    assert len(said) == 2


@pytest.mark.parametrize("value", [-1, float("nan"), "5"])
def test_an_invalid_patience_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="patience"):
        check_patience(value)


def test_durations_are_short() -> None:
    assert [duration(each) for each in (0.354, 12, 60, 90, 300, 3600)] == [
        "0.354 s",
        "12 s",
        "1 min",
        "90 s",
        "5 min",
        "60 min",
    ]


def test_requests_to_a_slow_server_are_small() -> None:
    pace = Pace()
    assert pace.most > 1000
    pace.record(1, 0.25)
    assert pace.most == 8
    pace.record(8, 40.0)
    assert pace.most == 1
    pace.record(64, 0.5)
    assert pace.most == 256


def test_requests_become_smaller_after_a_timeout() -> None:
    pace = Pace()
    pace.record_timeout(64, 30.0)
    assert pace.most == 4
    pace.record_timeout(4, 1.0)
    assert pace.most == 1
    pace.record(1, 0.05)  # a quarter of the shortest timeout seen
    assert pace.most == 5


def test_errors_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(NotLoadedError("gone", hint="Load it")))
    assert (type(error), error.message, error.hint) == (NotLoadedError, "gone", "Load it")
