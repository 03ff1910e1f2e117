"""A server that has lost the process of a model is ended and started again, since Triton goes on without it."""

from __future__ import annotations

import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.disposable_server import DisposableServer
from support.process_usage import children

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.errors import CamserveError
from camserve.images.pixel_arrays import Pixels
from camserve.serving import publish, supervise
from camserve.serving.live.server import LiveServer
from camserve.serving.server.model_processes import DeadProcess, ModelProcesses

pytestmark = pytest.mark.slow

TWO_INSTANCES = {"instances": 2}
IMAGE = Pixels(np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8), "rgb")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_server_ends_if_the_process_of_a_model_dies(
    number: signal.Signals, toy_repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), DisposableServer(toy_repository) as server:
        time.sleep(1.5)  # until the first look
        (process,) = children(server.pid)
        os.kill(process, number)
        assert server.wait() == -signal.SIGKILL
    (warning,) = caplog.messages
    assert warning.startswith(f"the process of model instance toy_0_0 was ended by signal {number.name}")
    assert ("when memory is short" in warning) == (number == signal.SIGKILL)


def test_clients_of_a_supervised_server_get_every_answer(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path / "repository", options=TWO_INSTANCES)
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
        assert len(children(server.pid)) == 2
        server.stop(grace=0)
        ending.result(timeout=30)
    assert server.restarts["SIGKILL"] == 1


def test_processes_that_the_server_ends_itself_are_not_dead(
    toy_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = tmp_path / "repository"
    publish(toy_bundle, repository, options=TWO_INSTANCES)
    with caplog.at_level(logging.WARNING), DisposableServer(repository, model_control="explicit") as server:
        publish(toy_bundle, repository, url=server.grpc_url)
        broken = next(repository.glob("*/2/model.onnx"))
        broken.write_bytes(b"not a model")
        with pytest.raises(CamserveError), LiveServer(server.grpc_url) as live:
            live.load("toy")
        time.sleep(3)  # longer than two looks
        assert ModelProcesses(server.pid).dead() == {}
        assert server.served()
    assert not [message for message in caplog.messages if "the process of" in message]


@pytest.mark.parametrize(
    ("dead", "text"),
    [
        (DeadProcess("toy_0_1", 11), "the process of model instance toy_0_1 was ended by signal SIGSEGV"),
        (DeadProcess(None, 3 << 8), "the process of a model ended with exit code 3"),
    ],
)
def test_how_a_process_ended_is_told(dead: DeadProcess, text: str) -> None:
    assert str(dead) == text
