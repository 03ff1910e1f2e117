"""Memory and descriptors of the server after many loads, unloads and requests."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from support.chaos import times
from support.disposable_server import DisposableServer
from support.model_folder import toy_config
from support.process_usage import children, descriptors, resident
from support.toy import toy_images
from tritonclient.grpc import InferenceServerClient, InferInput

from camserve.bundle import ONNX_NAME, Bundle
from camserve.serving import ServingOptions, TritonServer, publish
from camserve.serving.backends.camserve_backend.cuda_graphs import Attempt
from camserve.serving.backends.camserve_backend.fixed_sizes import FixedSizes
from camserve.serving.backends.camserve_backend.onnx_providers import CPU
from camserve.serving.backends.camserve_backend.onnx_sessions import SessionFactory
from camserve.serving.backends.camserve_backend.onnx_settings import session_settings

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


@pytest.mark.parametrize("sizes", [(), (1, 8)], ids=["free sizes", "fixed sizes"])
def test_requests_leak_nothing(toy_bundle: Bundle, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    publish(toy_bundle, tmp_path, options=ServingOptions(threads=1, batch_sizes=sizes))
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


def test_batches_of_random_sizes_leak_nothing(toy_bundle: Bundle) -> None:
    config = toy_config(toy_bundle, options={"max_batch_size": 32, "threads": 1})
    readable = MessageToDict(config, preserving_proto_field_name=True)
    factory = SessionFactory(toy_bundle.path / ONNX_NAME, session_settings(readable))
    model = FixedSizes(factory, readable, (1, 8, 32), [Attempt(((CPU, {}),))], log=print)
    model.make_ready()
    random, images = np.random.default_rng(0), toy_images(toy_bundle, 32)
    names = [output.name for output in toy_bundle.contract.outputs]

    def run(batches: int) -> None:
        for _ in range(batches):
            counts = random.integers(1, 17, random.integers(1, 3))
            model.run(names[: random.integers(1, 5)], [{"image": images[:count]} for count in counts])

    run(REQUESTS // 5)
    before = resident(os.getpid())
    run(REQUESTS)
    assert resident(os.getpid()) - before < MEGABYTE
