from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.python_models import write_python_models
from support.shared_regions import SharedMemoryClient, names
from support.transports import TRANSPORTS, TransportClass

from camserve.clients.wire.shared_memory import SharedMemory
from camserve.serving import TritonServer


@pytest.fixture(params=TRANSPORTS, ids=["threads", "asyncio"])
def transport(request: pytest.FixtureRequest) -> TransportClass:
    """The class of each transport."""
    kind: TransportClass = request.param
    return kind


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port without a listener, reserved until the test ends."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that drops connection attempts because its queue is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="package")
def python_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A Triton that serves the models `slow` and `echo`."""
    server = TritonServer(write_python_models(tmp_path_factory.mktemp("python") / "repository"))
    server.start()
    yield server
    server.stop(grace=0.0)  # the stubs of the Python backend take ten seconds to end


@pytest.fixture
def shared() -> Iterator[SharedMemory]:
    shared = SharedMemory()
    yield shared
    shared.close()
    assert names() == []


@pytest.fixture(scope="module")
def open_server(toy_repository: Path) -> Iterator[TritonServer]:
    server = TritonServer(toy_repository, allow_shared_memory=True)
    server.start()
    yield server
    server.stop(grace=0.0)


@pytest.fixture
def sender(open_server: TritonServer, shared: SharedMemory) -> Iterator[SharedMemoryClient]:
    sender = SharedMemoryClient(open_server.grpc_url, shared)
    yield sender
    sender.unregister(shared.unregistrations(sender.url))
    assert sender.regions() == []
    sender.close()
