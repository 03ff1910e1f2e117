"""`NAME_file` when `NAME` fails or answers what no classifier can: an error of the model, and not of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from support.disposable_server import DisposableServer
from support.image_files import draw, save
from tritonclient.utils import InferenceServerException

from camserve.bundle import ONNX_NAME, Bundle
from camserve.clients import Classifier
from camserve.clients.file_queries import Sent
from camserve.errors import ClientError, ContractError, RequestError
from camserve.serving import TritonServer, publish

PNG = save(draw("RGB", (60, 40)), "PNG")
WHITE = save(Image.new("RGB", (60, 40), "white"), "PNG")
SENT = get_args(Sent)


def fails_on_white(model: onnx.ModelProto) -> None:
    """Read beyond the end of a table if every pixel is light."""
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0.9, np.float32), "light"),
            numpy_helper.from_array(np.zeros(1, np.float32), "table"),
        ]
    )
    nodes = [
        helper.make_node("ReduceMin", ["image"], ["darkest"], keepdims=0),
        helper.make_node("Greater", ["darkest", "light"], ["is_light"]),
        helper.make_node("Cast", ["is_light"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["zero"]),
        helper.make_node("Add", ["image", "zero"], ["checked_image"]),
    ]
    graph.node[0].input[0] = "checked_image"
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)


def returns_nan(model: onnx.ModelProto) -> None:
    (bias,) = (each for each in model.graph.initializer if each.name == "dense_bias")
    bias.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(bias), np.nan), bias.name))


def returns_logits(model: onnx.ModelProto) -> None:
    """Leave out the softmax."""
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    softmax.CopyFrom(helper.make_node("Identity", softmax.input, softmax.output))


FAULTS: dict[str, Callable[[onnx.ModelProto], None]] = {
    each.__name__: each for each in (fails_on_white, returns_nan, returns_logits)
}


@pytest.fixture(scope="module")
def server(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Serve the toy once for each fault, which is built into its published file."""
    repository = tmp_path_factory.mktemp("faulty")
    for name, fault in FAULTS.items():
        publish(toy_bundle, repository, name=name, options={"image_files": True})
        path = repository / name / "1" / ONNX_NAME
        model = onnx.load(path)
        fault(model)
        onnx.save(model, path)
    with DisposableServer(repository) as server:
        yield server


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails_on_white", "model fails_on_white did not answer: .*out of data bounds"),
        ("returns_nan", "the model returned NaN or infinity in probabilities; hint: Check the weights"),
        ("returns_logits", "the model returned probabilities from .* which a softmax cannot return; hint: Correct the"),
    ],
)
def test_a_fault_of_the_model_is_an_internal_error(server: TritonServer, name: str, message: str) -> None:
    tensor = triton.InferInput("image_file", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[WHITE]], np.object_))
    with (
        triton.InferenceServerClient(server.grpc_url) as client,
        pytest.raises(InferenceServerException, match=message) as failure,
    ):
        client.infer(f"{name}_file", [tensor])
    assert failure.value.status() == "StatusCode.INTERNAL"


@pytest.mark.parametrize("sent", SENT)
def test_a_model_that_fails_is_an_error_of_the_request(server: TritonServer, sent: Sent) -> None:
    with Classifier(server.grpc_url, "fails_on_white", send=sent) as classifier:
        for _ in range(2):
            with pytest.raises(RequestError, match="out of data bounds") as failure:
                classifier.classify(WHITE)
            assert failure.value.hint
            assert len(classifier.classify(PNG).top) == 4  # the next image is answered


@pytest.mark.parametrize("sent", SENT)
def test_nan_is_refused(server: TritonServer, sent: Sent) -> None:
    with (
        Classifier(server.grpc_url, "returns_nan", send=sent) as classifier,
        pytest.raises(RequestError, match="NaN or infinity in probabilities") as failure,
    ):
        classifier.classify(PNG)
    assert failure.value.hint


@pytest.mark.parametrize(("sent", "kind"), [("pixels", ContractError), ("files", RequestError)])
def test_impossible_probabilities_are_refused(server: TritonServer, sent: Sent, kind: type[ClientError]) -> None:
    with (
        Classifier(server.grpc_url, "returns_logits", send=sent) as classifier,
        pytest.raises(kind, match="which a softmax cannot return") as failure,
    ):
        classifier.classify(PNG)
    assert failure.value.hint
