"""`camserve serve` after the death of Triton, with the real server."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.serve_process import ServeProcess
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.contract import LABELS_PARAMETER
from camserve.serving import LiveServer, publish
from camserve.serving.live.server import LiveVersion

pytestmark = pytest.mark.slow


def _shared_memory(served: ServeProcess) -> list[Path]:
    (prefix,) = (word.rpartition("=")[2] for word in served.command if "shm-region-prefix-name" in word)
    return list(Path("/dev/shm").glob(f"{prefix}*"))


def _kill(served: ServeProcess, number: signal.Signals) -> dict[str, Any]:
    """Kill Triton and return the event that announces its restart; nothing of the dead server remains then."""
    group, segments = os.getpgid(served.triton), _shared_memory(served)
    assert segments
    os.kill(served.triton, number)
    event: dict[str, Any] = served.next_document()["restart"]
    assert [segment for segment in segments if segment.exists()] == []
    deadline = time.monotonic() + 5  # init reaps the children of the dead server a moment later
    while _exists(group) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _exists(group)
    return event


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _restarts(served: ServeProcess) -> dict[str, float]:
    with urllib.request.urlopen(served.ready["metrics"], timeout=10) as response:
        lines = [line for line in response.read().decode().splitlines() if line.startswith("camserve_restarts{")]
    samples = dict(line.split() for line in lines)
    return {name.split('"')[1]: float(number) for name, number in samples.items()}


def _config(served: ServeProcess, model: str) -> Any:
    with LiveServer(served.ready["grpc"]) as live:
        return live.config(model)


def _publish_other_labels(repository: Path, *, url: str | None = None) -> None:
    bundle = write_toy_bundle(repository / ".bundle", labels="abcd")
    publish(bundle, repository, name="toy", options={"instances": 2}, allow_contract_change=True, url=url)


def test_a_dead_server_serves_the_same_again(toy_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("toy", "loaded", "unloaded"):
        publish(toy_bundle, tmp_path, name=name)
    log = tmp_path / ".log"
    options = ("--model-control", "explicit", "--load", "toy", "--load", "unloaded", "--log", log)
    with ServeProcess(tmp_path, *options) as served:
        assert set(_restarts(served).values()) == {0.0}
        with LiveServer(served.ready["grpc"]) as live:
            live.load("loaded")
            live.unload("unloaded")
            assert LiveVersion("unloaded", 1, "UNAVAILABLE", "unloaded") in live.index()
        publish(toy_bundle, tmp_path, name="toy", url=served.ready["grpc"])

        event = _kill(served, signal.SIGSEGV)
        assert event["cause"].startswith("Triton ended by signal SIGSEGV after ")
        assert (event["reason"], event["number"], event["delay_seconds"]) == ("SIGSEGV", 1, 0)
        assert served.next_document() == {**served.ready, "models": {"loaded": [1], "toy": [2]}}
        assert _restarts(served) == {**dict.fromkeys(_restarts(served), 0.0), "SIGSEGV": 1.0}

        before = _config(served, "toy")
        _publish_other_labels(tmp_path)
        (tmp_path / "loaded" / "1" / "model.onnx").write_bytes(b"no graph")
        assert _kill(served, signal.SIGKILL)["delay_seconds"] == 1
        assert served.next_document()["models"] == {"toy": [2]}
        assert _config(served, "toy") == before
        with LiveServer(served.ready["grpc"]) as live:
            live.load("toy")
            assert live.served()["toy"] == (3,)

        _publish_other_labels(tmp_path, url=served.ready["grpc"])
        after = _config(served, "toy")
        assert list(after.version_policy.specific.versions) == [4]
        assert after.parameters[LABELS_PARAMETER].string_value == "a\nb\nc\nd"
        assert (before.instance_group[0].count, after.instance_group[0].count) == (1, 2)
        publish(toy_bundle, tmp_path, name="toy", allow_contract_change=True)

        (tmp_path / "loaded" / "config.pbtxt").write_text("name: {")
        log.write_bytes(b"")
        assert _kill(served, signal.SIGKILL)["delay_seconds"] == 2
        assert served.next_document()["models"] == {"toy": [5], "unloaded": [1]}

        os.kill(served.triton, signal.SIGKILL)
        served.next_document()
        began = time.monotonic()
        served.signal(signal.SIGTERM)
        code, output = served.end()
        assert time.monotonic() - began < 5
    assert code == 0
    assert output.splitlines()[-1] == "Stopped"
    assert "warning: Triton ended by signal SIGSEGV after" in output
    assert "  Signal (11) received." in output
    assert output.count("Triton is a copy with a fix for cancelled requests; --original-program disables it\n") == 1
    assert "model toy now has " not in output
    assert "warning: the log of the server was rotated, so the models that it had loaded are unknown" in output
    assert "warning: model loaded version 1: onnxruntime cannot load model.onnx: " in output
