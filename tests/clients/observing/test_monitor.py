from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from camserve.clients.observing.monitor import Monitor
from camserve.errors import ConnectionFailedError


def test_retry_is_a_warning_and_reply_is_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "camserve"), Monitor().observe("signs") as observed:
        observed.record_failure("a:1", ConnectionFailedError("gone", hint="Start it"), 0.25)
        observed.record_reply("b:2", "3", 4096, 2)
    warning, answer = caplog.records
    assert (warning.levelname, warning.name) == ("WARNING", "camserve.clients.wire")
    assert warning.getMessage() == "infer signs at a:1, attempt 1: ConnectionFailedError: gone; retry in 0.25 s"
    assert answer.levelname == "DEBUG"
    assert answer.getMessage().startswith("infer signs at b:2: version 3, 4096 bytes, attempt 2, 0.0")


def test_raised_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
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


def test_optional_packages_may_be_missing() -> None:
    output = run(BLOCKED.format(blocked=("opentelemetry", "prometheus_client")))
    headers, loaded, error = output.splitlines()
    assert (headers, loaded) == ("()", "[]")
    assert "pip install 'camserve[metrics]'" in error


def test_optional_packages_are_loaded_if_present() -> None:
    assert run(BLOCKED.format(blocked=())).splitlines() == ["()", "[]"]
    made = "from camserve.clients.observing.monitor import Monitor; Monitor()"
    assert run(f"import sys; {made}; print('opentelemetry' in sys.modules)") == "True\n"


def test_import_loads_no_optional_package() -> None:
    code = (
        "import sys, camserve.clients; print([n for n in ('opentelemetry', 'prometheus_client') if n in sys.modules])"
    )
    assert run(code) == "[]\n"


def test_nothing_is_printed_without_logging() -> None:
    code = (
        "from camserve.clients.observing.monitor import Monitor; from camserve.errors import DeadlineError\n"
        "with Monitor().observe('signs') as observed: observed.record_failure('a:1', DeadlineError('late'), 0.1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
