"""Triton's gRPC messages: serialized from our values, and parsed into them; nothing here calls a server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from camserve.clients.wire.failures import InvalidReply
from camserve.clients.wire.reply_checks import (
    check_max_batch_size,
    check_model,
    read_array,
    read_names,
    read_version,
)
from camserve.clients.wire.values import Request, ServedModel, ServedTensor, Statistics
from camserve.errors import UsageError
from camserve.text import count

__all__ = [
    "encode_request",
    "newest_version",
    "numbered_versions",
    "read_model",
    "read_reply",
    "read_statistics",
    "request_header",
]

Array = np.ndarray[Any, Any]
Parameters = tuple[tuple[str, int | bool], ...]

_RAW_INPUT_CONTENTS = b"\x3a"  # field 7 of ModelInferRequest, of length-delimited type
_LARGEST_MESSAGE = 2**31 - 1
_PER_NANOSECOND = 1e-9


def encode_request(request: Request) -> bytes:
    """Serialize a request, with the batch as raw bytes.

    The message is joined from its parts, so that the pixels are copied only once.

    Raises:
        UsageError: If it exceeds the largest size of a message.
    """
    shape = request.batch.shape if request.shape is None else request.shape
    header = _serialized_header(
        request.model, request.version, request.tensor, shape, tuple(request.outputs), parameters=request.parameters
    )
    pixels = np.ascontiguousarray(request.batch).reshape(-1).view(np.uint8)
    if len(header) + pixels.nbytes > _LARGEST_MESSAGE:
        raise UsageError(
            f"a batch of {pixels.nbytes:,} bytes exceeds the largest message, 2 GiB", hint="Send fewer images at once"
        )
    return b"".join((header, _RAW_INPUT_CONTENTS, _varint(pixels.nbytes), pixels.data))


def request_header(request: Request) -> Any:
    """Return the `ModelInferRequest` without the bytes of the batch."""
    return _header(request.model, request.version, request.tensor, request.batch.shape, request.outputs)


def _header(
    model: str,
    version: str,
    tensor: ServedTensor,
    shape: tuple[int, ...],
    outputs: Sequence[str],
    *,
    parameters: Parameters = (),
) -> Any:
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
    for name in outputs:
        message.outputs.add(name=name)
    for name, value in parameters:
        message.parameters[name].CopyFrom(_parameter(value))
    return message


def _parameter(value: int | bool) -> Any:
    if isinstance(value, bool):
        return service_pb2.InferParameter(bool_param=value)
    return service_pb2.InferParameter(int64_param=value)


@lru_cache(maxsize=64)  # most requests of a client differ in nothing but the pixels
def _serialized_header(
    model: str,
    version: str,
    tensor: ServedTensor,
    shape: tuple[int, ...],
    outputs: tuple[str, ...],
    *,
    parameters: Parameters,
) -> bytes:
    header: bytes = _header(model, version, tensor, shape, outputs, parameters=parameters).SerializeToString()
    return header


def read_reply(message: bytes, request: Request) -> tuple[str, dict[str, Array]]:
    """Return version and outputs of a serialized `ModelInferResponse`.

    Raises:
        google.protobuf.message.DecodeError: If it is not such a message.
        InvalidReply: If it is about another model or version, or an output cannot be read.
    """
    response = service_pb2.ModelInferResponse.FromString(message)
    check_model(response.model_name, request.model)
    version = read_version(response.model_version, request.version)
    outputs, contents = response.outputs, response.raw_output_contents
    if len(outputs) != len(contents):
        raise InvalidReply(f"it describes {count(len(outputs), 'output')}, and contains the bytes of {len(contents):,}")
    return version, {
        name: read_array(name, output.datatype, output.shape, raw)
        for name, output, raw in zip(read_names(outputs, "output"), outputs, contents, strict=True)
    }


def newest_version(metadata: Any) -> str:
    """Return the newest version in a `ModelMetadataResponse`; empty if it contains none.

    Raises:
        InvalidReply: If it contains a version that cannot be one.
    """
    return max(numbered_versions(metadata), key=int, default="")


def numbered_versions(metadata: Any) -> list[str]:
    """Return the versions in a `ModelMetadataResponse` that are numbers, as those of Triton are.

    Raises:
        InvalidReply: If it contains a version that cannot be one.
    """
    return [version for version in map(read_version, metadata.versions) if version.isdecimal()]


def read_model(model: str, version: str, metadata: Any, config: Any) -> ServedModel:
    """Return a version as `ModelMetadataResponse` and `ModelConfig` describe it.

    Raises:
        InvalidReply: If they describe another model, or something that no model can have.
    """
    for name in (metadata.name, config.name):
        check_model(name, model)
    return ServedModel(
        name=model,
        version=version,
        inputs=_tensors(metadata.inputs, "input"),
        outputs=_tensors(metadata.outputs, "output"),
        max_batch_size=check_max_batch_size(config.max_batch_size),
        parameters={key: value.string_value for key, value in config.parameters.items()},
    )


def read_statistics(message: Any, version: str) -> Statistics:
    """Return the statistics of a version in a `ModelStatisticsResponse`; zeros if it has none."""
    for each in message.model_stats:
        if each.version == version or not version:
            stats = each.inference_stats
            compute = stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns
            return Statistics(stats.success.count, stats.queue.ns * _PER_NANOSECOND, compute * _PER_NANOSECOND)
    return Statistics(0, 0.0, 0.0)


def _tensors(described: Any, kind: str) -> tuple[ServedTensor, ...]:
    names = read_names(described, kind)
    return tuple(
        ServedTensor(name, each.datatype, tuple(each.shape)) for name, each in zip(names, described, strict=True)
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
