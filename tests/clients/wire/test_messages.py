"""Serializing requests and parsing replies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.transports import toy_request
from tritonclient.grpc import model_config_pb2, service_pb2

from camserve.clients.wire.failures import InvalidReply
from camserve.clients.wire.messages import (
    encode_request,
    newest_version,
    read_model,
    read_reply,
    read_statistics,
    request_header,
)
from camserve.clients.wire.values import Reply, Request, Statistics

Array = np.ndarray[Any, Any]
REQUEST = toy_request(np.zeros((1, 8, 8, 3), np.float32))


@pytest.mark.parametrize("count", [0, 1, 31, 32, 127, 128, 4095, 4096, 600_000])
def test_encoded_request_equals_protobuf(count: int) -> None:
    batch = np.random.default_rng(0).random((2, count), dtype=np.float32)
    request = toy_request(batch, version="3", outputs=("cam", "logits"))
    expected = request_header(request)
    expected.raw_input_contents.append(batch.tobytes())
    message = encode_request(request)
    assert message == expected.SerializeToString()
    read = service_pb2.ModelInferRequest.FromString(message)
    assert (read.model_name, read.model_version, [output.name for output in read.outputs]) == (
        "toy",
        "3",
        ["cam", "logits"],
    )
    assert (read.inputs[0].name, read.inputs[0].datatype, list(read.inputs[0].shape)) == ("image", "FP32", [2, count])


@pytest.mark.parametrize(
    "batch",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(24, dtype=np.uint8)[::3],
        np.arange(4, dtype=">f4"),
        np.array([True, False]),
    ],
    ids=["transposed", "strided", "big-endian", "bool"],
)
def test_batch_bytes_are_in_c_order(batch: Array) -> None:
    read = service_pb2.ModelInferRequest.FromString(encode_request(toy_request(batch)))
    assert read.raw_input_contents == [batch.tobytes()]
    assert tuple(read.inputs[0].shape) == batch.shape


def reply(*outputs: tuple[str, str, list[int], bytes], version: str = "7") -> bytes:
    response = service_pb2.ModelInferResponse(model_version=version)
    for name, datatype, shape, raw in outputs:
        response.outputs.add(name=name, datatype=datatype, shape=shape)
        response.raw_output_contents.append(raw)
    message: bytes = response.SerializeToString()
    return message


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("FP32", "f4"), ("FP16", "f2"), ("FP64", "f8"), ("BOOL", "?"), ("UINT8", "u1"), ("INT8", "i1")]
    + [(f"{sign}INT{bits}", f"{code}{bits // 8}") for sign, code in (("", "i"), ("U", "u")) for bits in (16, 32, 64)],
)
def test_outputs_of_every_data_type_are_read(datatype: str, dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]], dtype)
    version, tensors = read_reply(reply(("out", datatype, [2, 2], array.tobytes())), REQUEST)
    assert version == "7"
    assert tensors["out"].dtype == array.dtype
    np.testing.assert_array_equal(tensors["out"], array)


def test_outputs_are_matched_by_name() -> None:
    one, two = (np.array([value], np.float32).tobytes() for value in (1, 2))
    tensors = read_reply(reply(("b", "FP32", [1], two), ("a", "FP32", [1], one)), REQUEST)[1]
    assert {name: float(array[0]) for name, array in tensors.items()} == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("datatype", "shape", "size", "why"),
    [
        *(("FP32", [4], size, f"has {size} bytes instead of 16") for size in (0, 15, 17)),
        ("FP64", [4], 16, "has 16 bytes instead of 32"),
        *(("FP32", shape, 16, "impossible shape") for shape in ([-1], [-2, -2], [2**62, 4], [2**62, 4, 0], [-1, 0])),
        ("FP32", [1] * 17, 4, "has 17 dimensions"),
        *((datatype, [4], 16, "unsupported data type") for datatype in ("BYTES", "NONE", "")),
    ],
)
def test_output_that_cannot_be_read_is_an_error(datatype: str, shape: list[int], size: int, why: str) -> None:
    good = ("good", "FP32", [1], bytes(4))
    with pytest.raises(InvalidReply) as caught:
        read_reply(reply(good, ("bad", datatype, shape, bytes(size))), REQUEST)
    assert caught.value.why.startswith("output 'bad' ")
    assert why in caught.value.why


def test_output_without_bytes_is_an_error() -> None:
    response = service_pb2.ModelInferResponse(model_version="1")
    response.outputs.add(name="lost", datatype="FP32", shape=[1])
    with pytest.raises(InvalidReply) as caught:
        read_reply(response.SerializeToString(), REQUEST)
    assert caught.value.why == "it describes 1 output, and contains the bytes of 0"


def test_two_outputs_of_one_name_are_an_error() -> None:
    output = ("out", "FP32", [1], bytes(4))
    with pytest.raises(InvalidReply) as caught:
        read_reply(reply(output, output), REQUEST)
    assert caught.value.why == "it contains several tensors for output 'out'"


@pytest.mark.parametrize(
    ("requested", "model", "version", "why"),
    [
        ("", "other", "1", "it is about model 'other'"),
        ("2", "toy", "3", "it is from version 3"),
        ("", "toy", "9" * 65, "its version is '999"),
        ("", "toy", "1\x1b[2J", "its version is '1\\x1b[2J'"),
    ],
)
def test_reply_of_another_model_or_version_is_an_error(requested: str, model: str, version: str, why: str) -> None:
    response = service_pb2.ModelInferResponse(model_name=model, model_version=version)
    with pytest.raises(InvalidReply) as caught:
        read_reply(response.SerializeToString(), toy_request(np.zeros(1), version=requested))
    assert caught.value.why.startswith(why)
    assert len(caught.value.why) < 120


def test_model_with_odd_description_is_an_error() -> None:
    described = service_pb2.ModelMetadataResponse(name="toy", versions=["1"])
    tensor = {"name": "a", "datatype": "FP32", "shape": [1]}
    for change, why in (
        ({"outputs": [tensor, tensor]}, "it contains several tensors for output 'a'"),
        ({"inputs": [{**tensor, "shape": [1] * 17}]}, "input 'a' has 17 dimensions"),
        ({"inputs": [{**tensor, "name": "a" * 1001}]}, "the name or data type of input 'aaa"),
        ({"name": "other"}, "it is about model 'other'"),
    ):
        metadata = service_pb2.ModelMetadataResponse(**change)
        with pytest.raises(InvalidReply) as caught:
            read_model("toy", "1", metadata, model_config_pb2.ModelConfig())
        assert caught.value.why.startswith(why)
    with pytest.raises(InvalidReply) as caught:
        read_model("toy", "1", described, model_config_pb2.ModelConfig(max_batch_size=-5))
    assert caught.value.why == "max_batch_size is -5"


def test_empty_output_is_read() -> None:
    assert read_reply(reply(("out", "FP32", [0, 4], b"")), REQUEST)[1]["out"].shape == (0, 4)


def test_outputs_are_read_only_views_of_the_message() -> None:
    """As in tritonclient; copy an output to modify it."""
    array = read_reply(reply(("out", "FP32", [1], bytes(4))), REQUEST)[1]["out"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize(
    ("versions", "expected"), [([], ""), (["1"], "1"), (["9", "10", "2"], "10"), (["stable", "3"], "3"), (["x"], "")]
)
def test_newest_version_has_the_highest_number(versions: list[str], expected: str) -> None:
    assert newest_version(service_pb2.ModelMetadataResponse(versions=versions)) == expected


def test_statistics_are_of_the_version_in_seconds() -> None:
    message = service_pb2.ModelStatisticsResponse()
    for version in ("1", "2"):
        stats = message.model_stats.add(name="toy", version=version).inference_stats
        stats.success.count = int(version)
        stats.queue.ns = 500_000_000
        for part in (stats.compute_input, stats.compute_infer, stats.compute_output):
            part.ns = 1_000_000_000
    assert read_statistics(message, "2") == Statistics(2, 0.5, 3.0)
    assert read_statistics(message, "3") == Statistics(0, 0.0, 0.0)


def test_repr_contains_no_pixels() -> None:
    batch = np.full((1, 2), 77.5, np.float32)
    assert "77.5" not in repr(toy_request(batch))
    assert "77.5" not in repr(Reply("1", "a:1", {"logits": batch}, 0.1, 1, 8))
    assert isinstance(toy_request(batch), Request)
