from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from camserve.clients.observing.monitor import Monitor
from camserve.errors import ConnectionFailedError


def test_a_retry_is_a_warning_and_an_answer_is_for_those_who_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "camserve"), Monitor().observe("signs") as observed:
        observed.record_failure("a:1", ConnectionFailedError("gone", hint="Start it"), 0.25)
        observed.record_reply("b:2", "3", 4096, 2)
    warning, answer = caplog.records
    assert (warning.levelname, warning.name) == ("WARNING", "camserve.clients.wire")
    assert warning.getMessage() == "infer signs at a:1, attempt 1: ConnectionFailedError: gone; retry in 0.25 s"
    assert answer.levelname == "DEBUG"
    assert answer.getMessage().startswith("infer signs at b:2: version 3, 4096 bytes, attempt 2, 0.0")


def test_an_error_that_the_caller_sees_is_the_callers_to_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "camserve"), Monitor().observe("signs") as observed:
        observed.record_failure("a:1", ConnectionFailedError("gone"), None)
    assert caplog.records == []


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("blocked", name=name)
sys.meta_path.insert(0, Blocker())
from camserve.clients.observing.metrics import Metrics
from camserve.clients.observing.monitor import Monitor
from camserve.errors import ConnectionFailedError, UsageError
with Monitor().observe("signs") as observed:
    observed.record_failure("a:1", ConnectionFailedError("gone"), 0.1)
    observed.record_reply("a:1", "3", 4096, 2)
    print(observed.headers)
print([name for name in {blocked!r} if name in sys.modules])
try:
    Metrics()
except UsageError as error:
    print(error)
"""


def test_without_opentelemetry_and_prometheus_all_is_well_and_who_asks_for_counters_is_told() -> None:
    said = run(BLOCKED.format(blocked=("opentelemetry", "prometheus_client")))
    headers, loaded, error = said.splitlines()
    assert (headers, loaded) == ("()", "[]")
    assert "pip install 'camserve[metrics]'" in error


def test_what_is_blocked_would_have_been_loaded() -> None:
    assert run(BLOCKED.format(blocked=())).splitlines() == ["()", "[]"]
    made = "from camserve.clients.observing.monitor import Monitor; Monitor()"
    assert run(f"import sys; {made}; print('opentelemetry' in sys.modules)") == "True\n"


def test_an_import_loads_neither() -> None:
    code = (
        "import sys, camserve.clients; print([n for n in ('opentelemetry', 'prometheus_client') if n in sys.modules])"
    )
    assert run(code) == "[]\n"


def test_a_program_without_logging_hears_nothing() -> None:
    code = (
        "from camserve.clients.observing.monitor import Monitor; from camserve.errors import DeadlineError\n"
        "with Monitor().observe('signs') as observed: observed.record_failure('a:1', DeadlineError('late'), 0.1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
