"""A server that has lost the process of a model is ended and started again, since Triton goes on without it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from support.disposable_server import DisposableServer
from support.process_usage import children, command

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.errors import CamserveError, ServerError
from camserve.images.pixel_arrays import Pixels
from camserve.serving import TritonServer, publish, supervise
from camserve.serving.live.server import LiveServer
from camserve.serving.server import model_processes
from camserve.serving.server.model_processes import _DEAD_SECONDS, DeadProcess, ModelProcesses

pytestmark = pytest.mark.slow

IMAGE = Pixels(np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8), "rgb")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_server_ends_if_the_process_of_a_model_dies(
    number: signal.Signals, toy_repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), DisposableServer(toy_repository) as server:
        (process,) = children(server.pid)
        os.kill(process, number)
        assert server.wait() == -signal.SIGKILL
    (warning,) = caplog.messages
    assert warning.startswith(f"the process of model instance toy_0_0 was ended by signal {number.name}")
    assert ("when memory is short" in warning) == (number == signal.SIGKILL)


def test_processes_are_found_where_the_kernel_lists_no_children(
    toy_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_processes, "_CHILDREN", "not-there")
    with DisposableServer(toy_repository) as server:
        (process,) = children(server.pid)
        processes = ModelProcesses(server.pid, changing=True)
        assert not processes.dead()
        os.kill(process, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not (dead := processes.dead()):
            assert time.monotonic() < deadline, "the dead process was not found"
            time.sleep(0.1)
        assert dead == {process: DeadProcess("toy_0_0", signal.SIGKILL)}


@pytest.mark.parametrize("instances", [1, 2])
def test_clients_of_a_supervised_server_get_every_answer(instances: int, toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path / "repository", options={"instances": instances})
    with DisposableServer(tmp_path / "repository") as server, ThreadPoolExecutor(1) as pool:
        ending = pool.submit(supervise, server)
        with Classifier(server.grpc_url, "toy") as classifier:
            expected = classifier.classify(IMAGE).top
            os.kill(children(server.pid)[0], signal.SIGKILL)
            answered = 0
            deadline = time.monotonic() + 60
            while server.restarts.total() == 0 or answered < 10:
                assert classifier.classify(IMAGE).top == expected
                answered += server.restarts.total() > 0
                assert time.monotonic() < deadline, "the server was not started again"
        assert len(children(server.pid)) == instances
        server.stop(grace=0)
        ending.result(timeout=30)
    assert server.restarts["SIGKILL"] == 1


@pytest.fixture
def explicit_server(toy_bundle: Bundle, tmp_path: Path) -> Iterator[TritonServer]:
    publish(toy_bundle, tmp_path / "repository")
    with DisposableServer(tmp_path / "repository", model_control="explicit") as server:
        yield server


def test_processes_that_the_server_ends_itself_are_not_dead(explicit_server: TritonServer, toy_bundle: Bundle) -> None:
    publish(toy_bundle, explicit_server.repository, url=explicit_server.grpc_url)
    next(explicit_server.repository.glob("*/2/model.onnx")).write_bytes(b"not a model")
    with LiveServer(explicit_server.grpc_url) as live, pytest.raises(CamserveError):
        live.load("toy")
    wait_until_none_is_dead(explicit_server)
    assert explicit_server.served() == {"toy": (2,)}


def test_a_process_of_a_model_that_was_loaded_later_is_missed_too(
    explicit_server: TritonServer, toy_bundle: Bundle
) -> None:
    before = set(children(explicit_server.pid))
    publish(toy_bundle, explicit_server.repository, url=explicit_server.grpc_url)
    time.sleep(4)  # longer than a listing is valid
    (process,) = set(children(explicit_server.pid)) - before
    os.kill(process, signal.SIGKILL)
    assert explicit_server.wait() == -signal.SIGKILL


def test_a_process_that_dies_while_its_model_is_loaded_ends_no_server(
    explicit_server: TritonServer, toy_bundle: Bundle
) -> None:
    with pytest.raises(ServerError, match=r"rolled back: .*: Stub process .* is not healthy"):
        publish_and_kill(explicit_server, toy_bundle, once_loaded="onnxruntime_pybind11_state")
    wait_until_none_is_dead(explicit_server)
    assert explicit_server.served() == {"toy": (1,)}


def test_a_process_for_which_triton_would_wait_for_ever_ends_the_server(
    explicit_server: TritonServer, toy_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):  # a model whose process is killed later than in its first 20 ms only does not load
        with pytest.raises(ServerError) as failure:
            publish_and_kill(explicit_server, toy_bundle, once_loaded="triton_python_backend_stub")
        if "no answer from the server" in str(failure.value):
            break
    else:
        pytest.fail("no process was killed soon enough")
    assert explicit_server.wait() == -signal.SIGKILL
    assert "was ended by signal SIGKILL" in caplog.text
    assert [folder.name for folder in explicit_server.repository.glob("toy/[0-9]*")] == ["1"]


def wait_until_none_is_dead(server: TritonServer) -> None:
    """Wait until Triton has reaped all processes that have ended, in less time than the server would be ended for."""
    deadline = time.monotonic() + _DEAD_SECONDS
    while dead := ModelProcesses(server.pid, changing=True).dead():
        assert time.monotonic() < deadline, dead
        time.sleep(0.1)


def publish_and_kill(server: TritonServer, bundle: Bundle, *, once_loaded: str) -> None:
    """Publish, and kill the stub that loads the model as soon as it has loaded this library or program."""
    before = set(children(server.pid))
    with ThreadPoolExecutor(1) as pool:
        publication = pool.submit(publish, bundle, server.repository, url=server.grpc_url)
        deadline = time.monotonic() + 30
        while not (new := {child for child in set(children(server.pid)) - before if has_mapped(child, once_loaded)}):
            assert time.monotonic() < deadline, "no process was started"
            time.sleep(0.001)
        os.kill(new.pop(), signal.SIGKILL)
        publication.result(timeout=60)


def has_mapped(process: int, file: str) -> bool:
    with suppress(OSError):
        # Triton first tries the stub without arguments.
        return len(command(process)) > 1 and file in Path(f"/proc/{process}/maps").read_text()
    return False


@pytest.mark.parametrize(
    ("dead", "text"),
    [
        (DeadProcess("toy_0_1", 11), "the process of model instance toy_0_1 was ended by signal SIGSEGV"),
        (DeadProcess("toy_0_0", 3 << 8), "the process of model instance toy_0_0 ended with exit code 3"),
        (DeadProcess(None, 11), "the new process of a model was ended by signal SIGSEGV"),
    ],
)
def test_how_a_process_ended_is_told(dead: DeadProcess, text: str) -> None:
    assert str(dead) == text
