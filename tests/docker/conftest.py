"""Fixtures that run the container's start script on the embedded Triton, without a Docker engine."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.server.environment import assemble_backends, find_triton, server_environment
from camserve.serving.server.process import ServerProcess
from camserve.serving.server.scratch import create_scratch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docker" / "start-server.sh"
KEY = "a-key-for-these-tests"


@dataclass(frozen=True)
class ContainerServer:
    """A Triton started by `docker/start-server.sh`."""

    http: str
    grpc: str
    metrics: str
    process: ServerProcess
    log: Path

    def scrape(self) -> str:
        """Return the metrics in Prometheus's text format."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Wait until the health check of the container passes."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(f"http://{self.http}/v2/health/ready", timeout=5).close()
            except (urllib.error.URLError, ConnectionError):
                assert not self.process.exited, self.log.read_text()[-3000:]
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
                time.sleep(0.05)
            else:
                return


@pytest.fixture(scope="session")
def container_server(toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerServer]:
    """Serve the toy model as the container does, with an admin key."""
    folder = tmp_path_factory.mktemp("container")
    (folder / "key").write_text(f"{KEY}\n")
    with _start(toy_repository, folder, {"CAMSERVE_ADMIN_KEY_FILE": str(folder / "key")}) as server:
        yield server


@pytest.fixture
def keyless_server(toy_repository: Path, tmp_path: Path) -> Iterator[ContainerServer]:
    """Serve the toy model as the container does, without an admin key."""
    with _start(toy_repository, tmp_path, {"CAMSERVE_ADMIN_KEY_FILE": "/dev/null"}) as server:
        yield server


@pytest.fixture
def overloaded_server(toy_bundle: Bundle, tmp_path: Path) -> Iterator[ContainerServer]:
    """Serve the toy model twice: with requests that expire after 1 ms, and with a queue of two requests."""
    publish(toy_bundle, tmp_path / "repository", name="expires", options={"queue_timeout_us": 1000})
    publish(toy_bundle, tmp_path / "repository", name="fills", options={"max_queue_size": 2})
    with _start(tmp_path / "repository", tmp_path, {"CAMSERVE_ADMIN_KEY_FILE": "/dev/null"}) as server:
        yield server


@pytest.fixture
def impatient_server(toy_repository: Path, tmp_path: Path) -> Iterator[ContainerServer]:
    """Serve the toy model as the container does, with a second to stop."""
    variables = {"CAMSERVE_ADMIN_KEY_FILE": "/dev/null"}
    with _start(toy_repository, tmp_path, variables, "--exit-timeout-secs=1") as server:
        yield server


@contextmanager
def _start(repository: Path, folder: Path, variables: dict[str, str], *arguments: str) -> Iterator[ContainerServer]:
    installation = find_triton()
    backends = assemble_backends(installation, folder / "backends")
    environment = server_environment(installation, backends, temporary=folder)
    environment |= {"CAMSERVE_REPOSITORY": str(repository), **variables}
    environment["PATH"] = f"{_tritonserver(folder / 'bin', installation.program, backends)}:{environment['PATH']}"
    ports = _free_ports("http", "grpc", "metrics")
    addresses = [f"--{name}-{part}" for name, port in ports.items() for part in (f"port={port}", "address=127.0.0.1")]
    scratch = create_scratch()
    addresses.append(f"--backend-config=python,shm-region-prefix-name={scratch.name}")
    process = ServerProcess([str(SCRIPT), *addresses, *arguments], environment, folder / "log", scratch)
    try:
        http, grpc, metrics = (f"127.0.0.1:{port}" for port in ports.values())
        server = ContainerServer(http, grpc, metrics, process, folder / "log")
        server.wait_until_ready()
        yield server
    finally:
        process.stop(0)
        scratch.remove()


def _free_ports(*services: str) -> dict[str, int]:
    with ExitStack() as bound:
        listeners = {service: bound.enter_context(socket.create_server(("127.0.0.1", 0))) for service in services}
        return {service: listener.getsockname()[1] for service, listener in listeners.items()}


def _tritonserver(folder: Path, program: Path, backends: Path) -> Path:
    """Write a `tritonserver` that accepts the flag of 26.04, which the embedded Triton does not have."""
    folder.mkdir()
    wrapper = folder / "tritonserver"
    wrapper.write_text(
        "#!/bin/bash\n"
        'kept=(); for word in "$@"; do [[ $word == --allow-client-shm=* ]] || kept+=("$word"); done\n'
        f'exec "{program}" "${{kept[@]}}" --backend-directory="{backends}"\n'
    )
    wrapper.chmod(0o755)
    return folder
