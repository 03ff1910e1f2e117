"""The fixed program: requests that are cancelled neither end the server nor keep a replaced version loaded."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.canceller import Canceller
from support.disposable_server import DisposableServer
from support.process_usage import children

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.server.cancellation_fix import with_cancellation_fix
from camserve.serving.server.environment import find_triton

CANCELLATIONS = 2_000
"""Without the fix, the server crashes after about 500 to 6,000."""


def test_the_fix_changes_only_the_copy(tmp_path: Path) -> None:
    installation = find_triton()
    original = installation.program.read_bytes()
    fixed = with_cancellation_fix(installation, tmp_path)
    assert replace(fixed, program=installation.program) == installation
    program = fixed.program.read_bytes()
    assert len(program) == len(original)
    (changed,) = np.nonzero(np.frombuffer(program, np.uint8) != np.frombuffer(original, np.uint8))
    assert 60 < len(changed) < 90
    assert all(0x1F2D00 <= offset < 0x1F3E40 for offset in changed), "only Process and InferResponseComplete"
    assert fixed.program.stat().st_mode & 0o777 == 0o700
    assert installation.program.read_bytes() == original


def test_another_build_is_not_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = tmp_path / "tritonserver"
    program.write_bytes(b"another build")
    other = replace(find_triton(), program=program)
    with caplog.at_level(logging.WARNING, "camserve.serving"):
        assert with_cancellation_fix(other, tmp_path) == other
    assert program.read_bytes() == b"another build"
    assert "without the fix for cancelled requests" in caplog.text


@pytest.mark.slow
def test_cancelled_requests_do_not_crash_the_server_or_keep_a_version(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    with DisposableServer(tmp_path, model_control="explicit") as server:
        with Canceller(server.grpc_url, toy_bundle) as canceller:
            canceller.cancel(CANCELLATIONS // 2, seconds=60)
            publish(toy_bundle, tmp_path, url=server.grpc_url)
            canceller.cancel(CANCELLATIONS // 2, seconds=60)
        assert server.served() == {"toy": (2,)}
        deadline = time.monotonic() + 20
        while len(children(server.pid)) != 1:
            assert time.monotonic() < deadline, "the replaced version is not unloaded"
            time.sleep(0.05)
