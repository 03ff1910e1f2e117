"""Models whose instances cannot use their GPU, through a real Triton with the backends of this repository.

Triton itself refuses GPU instances on a host without a GPU. The backends are therefore told that theirs are such.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, toy_images

from camserve.bundle import Bundle
from camserve.errors import ServerError
from camserve.serving import TritonServer, publish
from camserve.serving.live.server import LiveServer
from camserve.serving.server import launch
from camserve.serving.server.environment import TritonInstallation, assemble_backends

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this onnxruntime is built with CUDA"
    ),
]

_INSTALLED = f"onnxruntime {onnxruntime.__version__} is installed, which is built without CUDA"
_REPLACE = "Replace it: pip uninstall --yes onnxruntime && pip install 'camserve[server-gpu]'"
_REFUSED = f"a GPU instance requires the CUDA provider of ONNX Runtime, but {_INSTALLED}"
_FALLBACK = f"runs on the CPU instead of the GPU, since {_INSTALLED}. {_REPLACE}"


def _assemble_for_gpus(installation: TritonInstallation, folder: Path) -> Path:
    """Tell the backends that each instance is one for a GPU."""
    assemble_backends(installation, folder)
    module = folder / "onnxruntime" / "camserve_backend" / "instance.py"
    before = module.read_text()
    after = before.replace("self.load(args, ", 'self.load({**args, "model_instance_kind": "GPU"}, ')
    assert after != before
    module.write_text(after)
    return folder


@pytest.fixture(scope="module")
def gpu_instances() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "assemble_backends", _assemble_for_gpus)
        yield


@pytest.fixture(scope="module")
def repository(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that may fall back to the CPU, with two instances, and one that may not."""
    folder = tmp_path_factory.mktemp("fallback")
    publish(toy_bundle, folder, name="free", options={"instances": 2, "max_queue_delay_us": 20_000, "threads": 1})
    publish(toy_bundle, folder, name="strict", options={"cpu_fallback": False})
    return folder


@pytest.fixture(scope="module")
def logged() -> Iterator[list[str]]:
    """The warnings that are logged."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("camserve.serving")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def server(repository: Path, gpu_instances: None, logged: list[str]) -> Iterator[TritonServer]:
    with DisposableServer(repository, model_control="explicit", models=("free",)) as server:
        yield server


def test_a_fallback_is_told_once_to_who_serves(server: TritonServer, logged: list[str]) -> None:
    assert server.warnings == (f"model free: {_FALLBACK}",)
    assert logged == [f"model free: {_FALLBACK}"]


def test_a_fallback_is_told_to_who_publishes(server: TritonServer, repository: Path, toy_bundle: Bundle) -> None:
    publication = publish(toy_bundle, repository, name="free", url=server.grpc_url)
    assert (publication.provider, publication.warnings) == ("CPU", (_FALLBACK,))


def test_requests_for_reports_do_not_affect_others(server: TritonServer, toy_bundle: Bundle) -> None:
    (version,) = server.served()["free"]

    def call(index: int) -> None:
        if index % 3 == 0:
            assert live.execution("free", version, toy_bundle.contract).warnings == (_FALLBACK,)
            return
        images = toy_images(toy_bundle, 1, seed=index)
        answers = live.infer("free", version, toy_bundle.contract, images)
        expected = expected_outputs(toy_bundle, images)
        np.testing.assert_allclose(answers["logits"], expected["logits"], rtol=1e-5, atol=1e-5)

    with LiveServer(server.grpc_url) as live, ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(48)))


def test_a_load_is_refused_with_the_reason_and_the_command(server: TritonServer) -> None:
    with LiveServer(server.grpc_url) as live, pytest.raises(ServerError) as caught:
        live.load("strict")
    assert caught.value.message == f"the server {server.grpc_url} cannot load strict: version 1: {_REFUSED}"
    assert caught.value.hint == f"{_REPLACE} (on the host of the server)"


@pytest.mark.usefixtures("gpu_instances")
def test_a_start_is_refused_with_the_reason_and_commands(repository: Path) -> None:
    with pytest.raises(ServerError) as caught, DisposableServer(repository):
        pass
    assert caught.value.explained
    assert caught.value.message == f"Triton cannot serve {repository}: model strict version 1: {_REFUSED}"
    assert caught.value.hint == f"{_REPLACE}. Or serve on the CPU: camserve serve --repository {repository} --cpu"
