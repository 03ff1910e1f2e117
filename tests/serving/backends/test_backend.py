"""The `onnxruntime` backend, through a real Triton."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, toy_images, write_toy_bundle
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from camserve.bundle import Bundle
from camserve.errors import ServerError
from camserve.serving import ServingOptions, TritonServer, publish
from camserve.serving.config.message import read_config, render_config

pytestmark = pytest.mark.slow

TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def client(toy_server: TritonServer) -> Iterator[Any]:
    with InferenceServerClient(toy_server.grpc_url) as connection:
        yield connection


def _infer(
    client: Any, images: Any, outputs: list[str] | None = None, *, model: str = "toy", name: str = "image"
) -> Any:
    tensor = InferInput(name, list(images.shape), np_to_triton_dtype(images.dtype))
    tensor.set_data_from_numpy(images)
    requested = None if outputs is None else [InferRequestedOutput(output) for output in outputs]
    return client.infer(model, [tensor], outputs=requested, client_timeout=30)


def _assert_correct(bundle: Bundle, images: Any, result: Any) -> None:
    for name, expected in expected_outputs(bundle, images).items():
        np.testing.assert_allclose(result.as_numpy(name), expected, rtol=TOLERANCE, atol=TOLERANCE)
        assert result.as_numpy(name).dtype == expected.dtype


@pytest.mark.parametrize("count", [1, 3, 8])
def test_outputs_match_numpy(client: Any, toy_bundle: Bundle, count: int) -> None:
    images = toy_images(toy_bundle, count, seed=count)
    _assert_correct(toy_bundle, images, _infer(client, images))


def test_only_requested_outputs_are_returned(client: Any, toy_bundle: Bundle) -> None:
    images = toy_images(toy_bundle, 2)
    answer = _infer(client, images, ["cam_class", "logits"])
    assert {output.name for output in answer.get_response().outputs} == {"cam_class", "logits"}
    np.testing.assert_allclose(
        answer.as_numpy("logits"), expected_outputs(toy_bundle, images)["logits"], rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda client, images: _infer(client, images[:, :7]),
        lambda client, images: _infer(client, images.astype(np.float64)),
        lambda client, images: _infer(client, images, name="pixels"),
        lambda client, images: _infer(client, images, ["nothing"]),
        lambda client, images: _infer(client, np.repeat(images, 9, axis=0)),
        lambda client, images: _infer(client, images, model="absent"),
    ],
    ids=["shape", "dtype", "input name", "output name", "batch too large", "model"],
)
def test_an_invalid_request_does_not_affect_the_next_one(
    client: Any, toy_bundle: Bundle, wrong: Callable[[Any, Any], Any]
) -> None:
    images = toy_images(toy_bundle)
    with pytest.raises(InferenceServerException):
        wrong(client, images)
    _assert_correct(toy_bundle, images, _infer(client, images))


@pytest.mark.parametrize("sizes", [(), (1, 4, 8)], ids=["free sizes", "fixed sizes"])
def test_concurrent_requests_are_batched_and_answered_correctly(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle", channels=1, size=(9, 7))
    options = ServingOptions(max_queue_delay_us=50_000, threads=1, batch_sizes=sizes)
    publish(bundle, tmp_path / "repository", options=options)
    outputs = [None, ["logits"], ["cam", "cam_class"]]

    def infer(index: int) -> None:
        images = toy_images(bundle, 1 + index % 3, seed=index)
        answer = _infer(client, images, outputs[index % 3])
        expected = expected_outputs(bundle, images)
        returned = [output.name for output in answer.get_response().outputs]
        assert set(returned) == set(outputs[index % 3] or expected)
        for name in returned:
            np.testing.assert_allclose(answer.as_numpy(name), expected[name], rtol=TOLERANCE, atol=TOLERANCE)

    log = tmp_path / "log"
    with (
        DisposableServer(tmp_path / "repository", log=log) as server,
        InferenceServerClient(server.grpc_url) as client,
        log.open() as lines,
    ):
        ready = [int(line.split("batch size ")[1].split()[0]) for line in lines if " is ready after " in line]
        assert sorted(ready) == list(sizes)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(infer, range(48)))
        (stats,) = client.get_inference_statistics("toy").model_stats
    assert stats.inference_stats.success.count >= 48
    assert stats.execution_count < stats.inference_stats.success.count / 1.5


def _publish_changed(repository: Path, bundle: Bundle, name: str, change: Callable[[Any], None]) -> None:
    publish(bundle, repository, name=name)
    path = repository / name / "config.pbtxt"
    config = read_config(path)
    change(config)
    path.write_text(render_config(config), encoding="utf-8")


def test_a_configuration_that_does_not_match_the_model_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    _publish_changed(tmp_path, toy_bundle, "bad-name", lambda config: setattr(config.output[2], "name", "map"))
    _publish_changed(tmp_path, toy_bundle, "bad-dims", lambda config: config.output[0].dims.__setitem__(0, 5))
    _publish_changed(tmp_path, toy_bundle, "bad-rank", lambda config: config.output[3].dims.append(1))
    _publish_changed(tmp_path, toy_bundle, "bad-dtype", lambda config: setattr(config.output[3], "data_type", 11))
    _publish_changed(tmp_path, toy_bundle, "bad-input", lambda config: setattr(config.input[0], "name", "pixels"))
    _publish_changed(tmp_path, toy_bundle, "bad-mode", _set_parameter("execution_mode", "7"))
    _publish_changed(tmp_path, toy_bundle, "bad-threads", _set_parameter("intra_op_thread_count", "many"))
    _publish_changed(tmp_path, toy_bundle, "bad-sizes", _set_parameter("batch_sizes", "1,4"))
    publish(toy_bundle, tmp_path, name="good")
    with pytest.raises(ServerError) as caught, DisposableServer(tmp_path):
        pass
    message = str(caught.value)
    assert "model bad-name version 1: the model has no output 'map'; it has cam, cam_class" in message
    assert "bad-dims version 1: output 'probabilities' has shape [-1, 4] in the model and [-1, 5]" in message
    assert "bad-rank version 1: output 'cam_class' has shape [-1, 3] in the model and [-1, 3, 1]" in message
    assert "bad-dtype version 1: output 'cam_class' is TYPE_INT32 in the model and TYPE_FP32" in message
    assert "bad-input version 1: the model has no input 'pixels'; it has image" in message
    assert "bad-mode version 1: execution_mode must be 0 or 1, got 7" in message
    assert "bad-threads version 1: parameter intra_op_thread_count must be an integer, got 'many'" in message
    assert "bad-sizes version 1: the largest of batch_sizes must be max_batch_size, 8, got 1,4" in message
    assert "good" not in message


def _set_parameter(name: str, value: str) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config.parameters[name].string_value = value
        config.model_warmup.clear()

    return change


_TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
_TABLE_CONFIG = """
backend: "onnxruntime"
max_batch_size: 8
input {{ name: "row" data_type: TYPE_INT32 dims: 1 }}
output {{ name: "values" data_type: TYPE_FP32 dims: [ 1, 3 ] }}
dynamic_batching {{ max_queue_delay_microseconds: 50000 }}
instance_group {{ kind: KIND_CPU count: 1 }}
parameters {{ key: "batch_sizes" value {{ string_value: "{sizes}" }} }}
"""


def _write_table_model(folder: Path, sizes: str, *, largest: int = 64) -> None:
    """Write a model that returns rows of a table, and fails if there is no such row or the batch is too large."""
    index = helper.make_tensor_value_info("row", TensorProto.INT32, ["batch", 1])
    values = helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 1, 3])
    nodes = [
        helper.make_node("Shape", ["row"], ["rows"], start=0, end=1),
        helper.make_node("Gather", ["limit", "rows"], ["zero"]),
        helper.make_node("Gather", ["table", "row"], ["found"]),
        helper.make_node("Add", ["found", "zero"], ["values"]),
    ]
    constants = {"table": _TABLE, "limit": np.zeros(largest + 1, np.float32)}
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "table", [index], [values], weights)
    (folder / "1").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(_TABLE_CONFIG.format(sizes=sizes))


def test_a_batch_that_fails_is_answered_one_by_one_and_told_once(tmp_path: Path) -> None:
    _write_table_model(tmp_path / "single", "none", largest=1)
    with DisposableServer(tmp_path) as server, InferenceServerClient(server.grpc_url) as client:

        def infer(row: int) -> Any:
            return _infer(client, np.full((1, 1), row, np.int32), model="single", name="row").as_numpy("values")

        for _ in range(2):
            with ThreadPoolExecutor(7) as pool:
                for row, answer in enumerate(pool.map(infer, [0, 1, 2, 3, 0, 1, 2])):
                    np.testing.assert_array_equal(answer, _TABLE[row % 4][None, None])
        told = [line for line in server.log_tail.splitlines() if "answered one by one" in line]
        assert len(told) == 1
        assert "camserve: model single: a batch of " in told[0]


def test_a_request_that_fails_does_not_affect_those_in_its_batch(tmp_path: Path) -> None:
    models = {"free": "none", "fixed": "2,8"}
    for name, sizes in models.items():
        _write_table_model(tmp_path / name, sizes)

    def infer(model: str, row: int) -> Any:
        return _infer(client, np.full((1, 1), row, np.int32), model=model, name="row").as_numpy("values")

    rows = [0, 3, 9, 1, 2, 3, 1]
    with DisposableServer(tmp_path) as server, InferenceServerClient(server.grpc_url) as client:
        for model in models:
            with ThreadPoolExecutor(len(rows)) as pool:
                answers = [pool.submit(infer, model, row) for row in rows]
            for row, answer in zip(rows, answers, strict=True):
                if row == 9:
                    with pytest.raises(InferenceServerException, match=r"onnxruntime: .*out of"):
                        answer.result()
                else:
                    np.testing.assert_array_equal(answer.result(), _TABLE[row][None, None])
            (stats,) = client.get_inference_statistics(model).model_stats
            assert stats.execution_count < len(rows)


def test_a_response_cache_never_stores_a_report(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options={"response_cache": True})
    images = toy_images(toy_bundle)
    tensor = InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    with (
        DisposableServer(tmp_path, response_cache_bytes=2**20) as server,
        InferenceServerClient(server.grpc_url) as client,
    ):
        client.infer("toy", [tensor], parameters={"camserve_report": True}, client_timeout=30)
        _assert_correct(toy_bundle, images, _infer(client, images))
