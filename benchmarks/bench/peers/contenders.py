"""Start what is compared: the peers, paused until their turns, and camserve's Triton, which takes no time when idle."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.calls import Target
from bench.peers.catalog import FOLDER, PROTOCOLS, Peer
from bench.peers.closed_loop import ClosedLoop
from bench.peers.environments import NotInstalledError, environment
from bench.peers.processes import START_SECONDS, ServerError, ServerProcess, free_port, started
from bench.settings import Settings
from camserve.bundle import Bundle
from camserve.serving import TritonServer, publish
from camserve.serving.config.backends import Backend

__all__ = ["MAX_BATCH", "Contender", "Ours", "Trial", "our_contenders", "peer_contenders"]

MAX_BATCH = 8
TOLERANCE = 1e-4  # of the logits of the same file, relative to the largest


@dataclass(frozen=True)
class Ours:
    """A model of ours: a bundle, its precision, and the backend that serves it."""

    bundle: Bundle
    precision: str
    backend: Backend


@dataclass(frozen=True)
class Trial:
    """What all are asked.

    Attributes:
        images: `[N, H, W, C]`.
        expected: The logits `[N, classes]` of fp32.
        loop: What sends them.
        settings: How long it takes, and where files are kept.
    """

    images: Any
    expected: Any
    loop: ClosedLoop
    settings: Settings

    def difference(self, logits: Any) -> float:
        """Return the largest difference of logits from the expected ones, relative to the largest."""
        return float(np.abs(logits - self.expected).max() / np.abs(self.expected).max())


@dataclass(frozen=True)
class Contender:
    """A served model.

    Attributes:
        name: Name of the server, with the runtime where it is ours.
        precision: What it computes in.
        protocol: How it is asked.
        target: Where it is.
        logits: Its answers `[N, classes]` to the images, each in a request of its own.
        difference: The largest difference of these from the expected ones, relative to the largest logit.
        process: What is paused between turns, or None.
    """

    name: str
    precision: str
    protocol: str
    target: Target
    logits: Any = field(repr=False)
    difference: float
    process: ServerProcess | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let the server run."""
        if self.process is None:
            yield
            return
        self.process.check()
        self.process.go_on()
        try:
            yield
        finally:
            self.process.pause()


@contextmanager
def peer_contenders(
    peers: Sequence[Peer], bundle: Bundle, trial: Trial
) -> Iterator[tuple[list[Contender], dict[str, str]]]:
    """Start the peers, one after the other, and return them paused, and why others are not among them, by name."""
    contenders, missing = [], {}
    with ExitStack() as stack:
        for peer in peers:
            attempt = ExitStack()
            try:
                server, target = attempt.enter_context(peer_server(peer, bundle, trial))
                logits = wait_until_ready(server, target, trial)
                server.check_addresses()
                difference = trial.difference(logits)
                if not difference <= TOLERANCE:
                    raise ServerError(f"its logits differ by {difference:.1e}")
            except (NotInstalledError, ServerError) as error:
                attempt.close()
                missing[peer.name] = str(error)
                continue
            stack.push(attempt)
            server.pause()
            protocol = PROTOCOLS[peer.form]
            contenders.append(Contender(peer.name, "fp32", protocol, target, logits, difference, server))
        yield contenders, missing


@contextmanager
def peer_server(peer: Peer, bundle: Bundle, trial: Trial) -> Iterator[tuple[ServerProcess, Target]]:
    """Start a peer with the network of a bundle."""
    python, port = environment(FOLDER / peer.folder, trial.settings), free_port()
    variables: Mapping[str, str] = {
        "PEER_PORT": str(port),
        "PEER_PARENT": str(os.getpid()),
        "PEER_MODEL": str(bundle.onnx_path),
        "PEER_SHAPE": ",".join(map(str, trial.images.shape[1:])),
        "PEER_DTYPE": trial.images.dtype.str,
        "PEER_THREADS": str(trial.settings.cores),
        "PEER_MAX_BATCH": str(MAX_BATCH),
        "PYTHONPATH": str(FOLDER / "shared"),
    }
    logs = trial.settings.folder / "logs"
    logs.mkdir(exist_ok=True)
    with started([python, FOLDER / peer.folder / "server.py"], variables, logs / f"{peer.folder}.log") as server:
        yield server, Target(f"127.0.0.1:{port}", peer.model, peer.form)


def wait_until_ready(server: ServerProcess, target: Target, trial: Trial) -> Any:
    """Return the first logits that a server returns for all images.

    Raises:
        ServerError: If it ends, or has not answered in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        server.check()
        try:
            return trial.loop.ask(target, trial.images)
        except Exception as error:  # until it is ready, a server fails in many ways
            if time.monotonic() > deadline:
                raise ServerError(f"not ready after {START_SECONDS:.0f} s: {error}"[:300]) from error
            time.sleep(0.3)


@contextmanager
def our_contenders(models: Sequence[Ours], trial: Trial, folder: Path) -> Iterator[list[Contender]]:
    """Serve our models by one embedded Triton with its default options."""
    names = {f"{model.precision}-{model.backend}": model for model in models}
    for name, model in names.items():
        options = {"max_batch_size": MAX_BATCH}
        publish(model.bundle, folder / "repository", name=name, backend=model.backend, options=options)
    with TritonServer(folder / "repository", start_timeout=300) as server:
        contenders = []
        for name, model in names.items():
            target = Target(server.grpc_url, name, "tensor")
            logits = trial.loop.ask(target, trial.images)
            label = f"camserve, {RUNTIMES.get(model.backend, model.backend)}"
            difference = trial.difference(logits)
            contenders.append(Contender(label, model.precision, PROTOCOLS["tensor"], target, logits, difference))
        yield contenders


RUNTIMES: dict[Backend, str] = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
