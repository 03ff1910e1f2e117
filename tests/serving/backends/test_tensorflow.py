"""The `tensorflow` backend, through a real Triton, together with the `onnxruntime` one."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, toy_images
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from camserve.bundle import Bundle
from camserve.serving.backends.camserve_backend.gpu_obstacles import Obstacle
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError
from camserve.serving.backends.camserve_backend.tensorflow_settings import data_type, session_settings

pytestmark = pytest.mark.slow

_CONFIG = """
backend: "tensorflow"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [3] }]
output [
  { name: "double" data_type: TYPE_FP32 dims: [3] },
  { name: "sum" data_type: TYPE_FP32 dims: [1] reshape: { shape: [] } }
]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { max_queue_delay_microseconds: 50000 }
parameters { key: "TF_NUM_INTRA_THREADS" value: { string_value: "1" } }
parameters { key: "TF_NUM_INTER_THREADS" value: { string_value: "1" } }
parameters { key: "use_tf32" value: { string_value: "0" } }
"""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that doubles and sums its input."""
    from camserve.export.frameworks import tf

    class Doubling(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.factor = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def serve(self, x: Any) -> Any:
            return {"double": self.factor * x, "sum": tf.reduce_sum(x, axis=1)}

    model = Doubling()
    folder = tmp_path_factory.mktemp("tensorflow") / "saved"
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    return folder


def _place(repository: Path, name: str, saved_model: Path, config: str = _CONFIG) -> None:
    shutil.copytree(saved_model, repository / name / "1" / "model.savedmodel")
    (repository / name / "config.pbtxt").write_text(config)


@pytest.fixture(scope="module")
def client(saved_model: Path, toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server with a TensorFlow model and the toy."""
    repository = tmp_path_factory.mktemp("beside") / "repository"
    shutil.copytree(toy_repository, repository)
    _place(repository, "doubling", saved_model)
    _place(repository, "bad-dims", saved_model, _CONFIG.replace("dims: [3] },\n", "dims: [4] },\n"))
    served = ("doubling", "toy")
    with (
        DisposableServer(repository, model_control="explicit", models=served) as server,
        InferenceServerClient(server.grpc_url) as connection,
    ):
        assert server.served() == {"doubling": (1,), "toy": (1,)}
        yield connection


def _infer(client: Any, rows: Any, outputs: list[str] | None = None) -> Any:
    tensor = InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    requested = None if outputs is None else [InferRequestedOutput(name) for name in outputs]
    return client.infer("doubling", [tensor], outputs=requested, client_timeout=30)


def test_concurrent_requests_are_batched_and_answered_correctly(client: Any) -> None:
    outputs = [None, ["sum"], ["double"]]

    def infer(index: int) -> None:
        rows = np.random.default_rng(index).random((1 + index % 3, 3), dtype=np.float32)
        answer = _infer(client, rows, outputs[index % 3])
        expected = {"double": 2 * rows, "sum": rows.sum(axis=1, keepdims=True)}
        names = [output.name for output in answer.get_response().outputs]
        assert set(names) == set(outputs[index % 3] or expected)
        for name in names:
            np.testing.assert_allclose(answer.as_numpy(name), expected[name], rtol=1e-6)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(infer, range(48)))
    (stats,) = client.get_inference_statistics("doubling").model_stats
    assert stats.execution_count < stats.inference_stats.success.count / 1.5


def test_the_other_backend_works_in_the_same_server(client: Any, toy_bundle: Bundle) -> None:
    images = toy_images(toy_bundle, 2)
    tensor = InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    answer = client.infer("toy", [tensor], client_timeout=30).as_numpy("logits")
    np.testing.assert_allclose(answer, expected_outputs(toy_bundle, images)["logits"], rtol=1e-6, atol=1e-6)


def test_an_invalid_request_does_not_affect_the_next_one(client: Any) -> None:
    with pytest.raises(InferenceServerException):
        _infer(client, np.zeros((1, 4), np.float32))
    assert _infer(client, np.ones((1, 3), np.float32)).as_numpy("sum").tolist() == [[3.0]]


def test_a_configuration_that_does_not_match_the_model_is_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"output 'double' has shape \[-1, 3\] .* and \[-1, 4\]"):
        client.load_model("bad-dims")
    assert client.is_model_ready("doubling")


def test_settings_are_those_of_the_former_backend() -> None:
    parameters = {
        name: {"string_value": value}
        for name, value in {"TF_NUM_INTRA_THREADS": "3", "TF_GRAPH_TAG": "tag", "TF_SIGNATURE_DEF": "key"}.items()
    }
    settings = session_settings({"parameters": parameters}, kind="GPU", device="1")
    assert (settings.intra_op_threads, settings.inter_op_threads) == (3, 0)
    assert (settings.graph_tag, settings.signature, settings.gpu) == ("tag", "key", "1")
    plain = session_settings({}, kind="CPU", device="0")
    assert (plain.graph_tag, plain.signature, plain.gpu) == ("serve", "serving_default", None)
    with pytest.raises(ModelRefusedError, match="must not be negative"):
        session_settings({"parameters": {"TF_NUM_INTER_THREADS": {"string_value": "-1"}}}, kind="CPU", device="0")
    assert plain.tf32 is None
    assert session_settings({"parameters": {"use_tf32": {"string_value": "0"}}}, kind="GPU", device="0").tf32 is False
    assert data_type("float16") == "TYPE_FP16"


def test_a_gpu_that_tensorflow_cannot_use_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from camserve.export.frameworks import tf

    from camserve.serving.backends.camserve_backend import tensorflow_gpu

    found: list[str] = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: found)
    package = f"'tensorflow[and-cuda]=={tf.__version__}'"
    monkeypatch.setattr(tensorflow_gpu, "driver_obstacle", lambda: None)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    assert tensorflow_gpu.gpu_obstacle("0") == Obstacle(
        "TensorFlow finds 0 GPUs, not GPU 0", f"Install CUDA's libraries: pip install {package}"
    )
    found += ["GPU:0", "GPU:1"]
    assert tensorflow_gpu.gpu_obstacle("1") is None
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: False)
    obstacle = tensorflow_gpu.gpu_obstacle("1")
    assert obstacle is not None
    assert obstacle.reason == f"tensorflow {tf.__version__} is installed, which is built without CUDA"
    assert obstacle.remedy == f"Replace it: pip uninstall --yes tensorflow && pip install {package}"
