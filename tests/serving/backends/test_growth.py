"""Memory and descriptors of the server after many loads, unloads and requests."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.chaos import times
from support.disposable_server import DisposableServer
from support.process_usage import children, descriptors, resident
from support.toy import toy_images
from tritonclient.grpc import InferenceServerClient, InferInput

from camserve.bundle import Bundle
from camserve.serving import ServingOptions, TritonServer, publish

pytestmark = pytest.mark.chaos

ROUNDS = times(100)
REQUESTS = times(10_000)
MEGABYTE = 2**20


def _infer(client: InferenceServerClient, bundle: Bundle, version: str = "") -> None:
    images = toy_images(bundle, 2)
    tensor = InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    assert np.isfinite(client.infer("toy", [tensor], version, client_timeout=30).as_numpy("logits")).all()


def test_loading_and_unloading_repeatedly_leaks_nothing(
    toy_bundle: Bundle, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    options = ServingOptions(latest_versions=2, threads=1)
    for _ in range(2):
        publish(toy_bundle, tmp_path, options=options)
    measured: list[tuple[float, int]] = []
    with (
        DisposableServer(tmp_path, model_control="explicit", models=()) as server,
        InferenceServerClient(server.grpc_url) as client,
    ):
        for _ in range(ROUNDS):
            client.load_model("toy")
            assert len(children(server.pid)) == 2
            for version in ("1", "2"):  # both versions are served
                _infer(client, toy_bundle, version)
            client.unload_model("toy")
            _await_end(server)
            measured.append((resident(server.pid) / MEGABYTE, descriptors(server.pid)))
        regions = [path.name for path in Path("/dev/shm").glob(f"{_scratch(server)}*")]
    steady = measured[min(3, ROUNDS // 2) :]
    record_property("megabytes", [round(memory) for memory, _ in steady])
    assert steady[-1][0] - steady[0][0] < 20 + 0.2 * ROUNDS
    assert steady[-1][1] <= steady[0][1] + 2
    assert len(regions) <= 1


def _await_end(server: TritonServer) -> None:
    deadline = time.monotonic() + 60
    while server.served() or children(server.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _scratch(server: TritonServer) -> str:
    """Return the name of the scratch folder, the prefix of the names of its shared memory."""
    environment = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    (folder,) = (Path(each.removeprefix("TMPDIR=")) for each in environment if each.startswith("TMPDIR="))
    assert folder.name.startswith("camserve-triton-")
    return folder.name


@pytest.mark.parametrize("sizes", ["none", "1,8"])
def test_requests_leak_nothing(toy_bundle: Bundle, tmp_path: Path, sizes: str) -> None:
    publish(toy_bundle, tmp_path, options=ServingOptions(threads=1))
    set_parameters(tmp_path / "toy", batch_sizes=sizes)
    with DisposableServer(tmp_path) as server, InferenceServerClient(server.grpc_url) as client:
        (stub,) = children(server.pid)
        for _ in range(REQUESTS // 5):
            _infer(client, toy_bundle)
        before = {pid: (resident(pid), descriptors(pid)) for pid in (server.pid, stub)}
        for _ in range(REQUESTS):
            _infer(client, toy_bundle)
        for pid, (memory, opened) in before.items():
            assert resident(pid) - memory < 8 * MEGABYTE
            assert descriptors(pid) <= opened + 2
