"""What a hostile server may reply, case by case, as the table of docs/reliability.md lists it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
from support.hostile_server import HostileServer, Reply, correct_replies
from tritonclient.grpc import service_pb2

from camserve.clients import Classification, Classifier
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER
from camserve.errors import CamserveError
from camserve.images.pixel_arrays import Pixels
from camserve.text import shortened

__all__ = ["HEADER", "TIMEOUT", "cases", "classified", "outcome_of", "row"]

TIMEOUT = 2.0
"""The client's deadline, in seconds."""

Changes = dict[str, Reply]
_MANY = 300_000
_SHOWN = 140
_IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")
HEADER = "| the server sends | the client reports | seconds | memory |\n|---|---|---|---|"
_ESCAPES = "\x1b[2J\x1b]0;owned\x07\r"


def cases() -> Iterator[tuple[str, Changes]]:
    """Yield what the server does, in words, and its replies that are not correct."""
    for what, change in _METADATA.items():
        yield f"metadata: {what}", {"ModelMetadata": _changed("ModelMetadata", change)}
    for what, change in _CONFIGURATION.items():
        yield f"configuration: {what}", {"ModelConfig": _changed("ModelConfig", _of_config(change))}
    for what, change in _ANSWERS.items():
        yield f"answer: {what}", {"ModelInfer": _changed("ModelInfer", change)}
    yield from _BYTES.items()
    for what, (width, height) in {"60,000 x 60,000": (60_000, 60_000), "2^31 x 1": (2**31, 1)}.items():
        yield f"metadata and contract: an input of {what} pixels", _with_input(height, width)


def outcome_of(server: HostileServer, changes: Changes) -> Classification | CamserveError:
    """Connect to a server that replies as in a case, and classify an image with its maps."""
    server.reset(**changes)
    return classified(server.url)


def classified(url: str) -> Classification | CamserveError:
    """Connect to a server and classify an image with its maps."""
    try:
        with Classifier(url, "toy", timeout=TIMEOUT) as classifier:
            return classifier.classify(_IMAGE, cam=True)
    except CamserveError as error:
        return error


def row(what: str, outcome: Classification | CamserveError, url: str) -> str:
    """Return the first two cells of a row of the table."""
    if isinstance(outcome, CamserveError):
        message = shortened(outcome.message.replace(url, "HOST:PORT"), _SHOWN).replace("|", "\\|")
        return f"| {what} | `{type(outcome).__name__}`: {message} |"
    return f"| {what} | the correct answer |"


def _changed(method: str, change: Callable[[Any], object]) -> bytes:
    message = correct_replies()[method]
    change(message)
    serialized: bytes = message.SerializeToString()
    return serialized


def _of_config(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda response: change(response.config)


def _with(**values: Any) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name, value in values.items():
            setattr(message, name, value)

    return change


def _versions(*versions: str) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        message.versions[:] = versions

    return change


def _output(*, shape: list[int] | None = None, raw: bytes | None = None, **values: str) -> Callable[[Any], None]:
    """Return the change of the first output; `raw` are its bytes."""

    def change(message: Any) -> None:
        output = message.outputs[0]
        if shape is not None:
            output.shape[:] = shape
        for name, value in values.items():
            setattr(output, name, value)
        if raw is not None:
            message.raw_output_contents[0] = raw

    return change


def _more_outputs(message: Any) -> None:
    message.outputs.extend(type(message.outputs[0])(name=f"x{number}", datatype="FP32") for number in range(_MANY))
    if hasattr(message, "raw_output_contents"):
        message.raw_output_contents.extend([bytes(4)] * _MANY)


def _same_output_twice(message: Any) -> None:
    message.outputs.append(message.outputs[0])
    if hasattr(message, "raw_output_contents"):
        message.raw_output_contents.append(message.raw_output_contents[0])


def _values(name: str, change: Callable[[np.ndarray[Any, Any]], None]) -> Callable[[Any], None]:
    def apply(message: Any) -> None:
        index = [output.name for output in message.outputs].index(name)
        array = np.frombuffer(
            message.raw_output_contents[index], np.int32 if name == "cam_class" else np.float32
        ).copy()
        change(array)
        message.raw_output_contents[index] = array.tobytes()

    return apply


def _first(value: float) -> Callable[[np.ndarray[Any, Any]], None]:
    def change(array: np.ndarray[Any, Any]) -> None:
        array[0] = value

    return change


def _parameter(name: str, text: str) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config.parameters[name].string_value = text

    return change


def _with_input(height: int, width: int) -> Changes:
    replies = correct_replies()
    replies["ModelMetadata"].inputs[0].shape[:] = (-1, height, width, 3)
    parameter = replies["ModelConfig"].config.parameters[CONTRACT_PARAMETER]
    contract = json.loads(parameter.string_value)
    contract["input"]["shape"] = [height, width, 3]
    parameter.string_value = json.dumps(contract)
    return {name: replies[name].SerializeToString() for name in ("ModelMetadata", "ModelConfig")}


_METADATA: dict[str, Callable[[Any], object]] = {
    "a version of 5,000 digits": _versions("9" * 5_000),
    "a version with escape sequences": _versions(_ESCAPES),
    f"{_MANY:,} versions": _versions("1", *["0"] * (_MANY - 1)),
    "an output of 33 dimensions": _output(shape=[1] * 33),
    "an output with a dimension of 2^62": _output(shape=[-1, 2**62]),
    "an output of an unknown data type": _output(datatype="QUBIT"),
    "an output whose name has 100,000 characters": _output(name="x" * 100_000),
    "two outputs of one name": _same_output_twice,
    f"{_MANY:,} more outputs": _more_outputs,
    "another model": _with(name="other"),
}

_CONFIGURATION: dict[str, Callable[[Any], object]] = {
    "`max_batch_size` -5": _with(max_batch_size=-5),
    "`max_batch_size` 0 (the model does not batch)": _with(max_batch_size=0),
    "`max_batch_size` 2^31 - 1": _with(max_batch_size=2**31 - 1),
    "a label of 30 MB": _parameter(LABELS_PARAMETER, "a\nb\nc\n" + "d" * 30_000_000),
    "15 million labels": _parameter(LABELS_PARAMETER, "a\n" * 14_999_999 + "a"),
    "labels of 100 MB": _parameter(LABELS_PARAMETER, "a\nb\nc\n" + "d" * 100_000_000),
    "a contract of 1 MB of brackets": _parameter(CONTRACT_PARAMETER, "[" * 1_000_000),
    "another model": _with(name="other"),
}

_ANSWERS: dict[str, Callable[[Any], object]] = {
    "an output of 33 dimensions": _output(shape=[1] * 33),
    "the shape [2^62, 4, 0]": _output(shape=[2**62, 4, 0], raw=b""),
    "the shape [2^62, 4]": _output(shape=[2**62, 4]),
    "the shape [-1, 4]": _output(shape=[-1, 4]),
    "an empty output": _output(shape=[0, 4], raw=b""),
    "15 bytes for 4 values": _output(raw=bytes(15)),
    "an output of strings": _output(datatype="BYTES", raw=b"\xff\xff\xff\xff"),
    "an output of an unknown data type": _output(datatype="QUBIT"),
    "two outputs of one name": _same_output_twice,
    f"{_MANY:,} more outputs": _more_outputs,
    "no outputs": lambda message: (message.ClearField("outputs"), message.ClearField("raw_output_contents")),
    "outputs without their bytes": lambda message: message.ClearField("raw_output_contents"),
    "NaN as a probability": _values("probabilities", _first(np.nan)),
    "probabilities of 2": _values("probabilities", _first(2.0)),
    "NaN as a logit": _values("logits", _first(np.nan)),
    "NaN in a map": _values("cam", _first(np.nan)),
    "two maps of one class": _values("cam_class", _first(0)),
    "a map of class 4 of 4": _values("cam_class", _first(4)),
    "a map of class -1": _values("cam_class", _first(-1)),
    "another model": _with(model_name="other"),
    "a version with escape sequences": _with(model_version=_ESCAPES),
    "a version of 5,000 digits": _with(model_version="9" * 5_000),
    "another request's id": _with(id="other"),
}


def _garbage(method: str) -> Reply:
    return b"\xff" * 100 if method == "ModelInfer" else b"\x0a\xff"


def _slow(_: bytes, context: grpc.ServicerContext) -> bytes:
    time.sleep(2 * TIMEOUT)
    return b""


def _refusing(code: grpc.StatusCode, why: str) -> Reply:
    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_code(code)
        context.set_details(why)
        return b""

    return refuse


def _many_headers(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.send_initial_metadata(tuple((f"x-{number}", "x" * 1_000) for number in range(1_000)))
    reply: bytes = correct_replies()["ModelInfer"].SerializeToString()
    return reply


def _compressed(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.set_compression(grpc.Compression.Gzip)
    return bytes(20_000_000)


def _index(count: int) -> bytes:
    response = service_pb2.RepositoryIndexResponse()
    for number in range(count):
        response.models.add(name=f"model-{number}", version="1")
    serialized: bytes = response.SerializeToString()
    return serialized


_BYTES: dict[str, Changes] = {
    "metadata that is not a message": {"ModelMetadata": _garbage("ModelMetadata")},
    "an answer that is not a message": {"ModelInfer": _garbage("ModelInfer")},
    "an answer with 100 bytes behind it": {
        "ModelInfer": correct_replies()["ModelInfer"].SerializeToString() + b"\xff" * 100
    },
    "metadata of 20 MB": {"ModelMetadata": bytes(20_000_000)},
    "metadata of 20 MB, compressed to 20 kB": {"ModelMetadata": _compressed},
    "an answer that does not end": {"ModelInfer": _slow},
    "an error of 5,000 characters with escape sequences": {
        "ModelInfer": _refusing(grpc.StatusCode.INTERNAL, _ESCAPES + "x" * 5_000)
    },
    "an error of 100 kB": {"ModelInfer": _refusing(grpc.StatusCode.INTERNAL, "x" * 100_000)},
    "1,000 headers of 1 kB": {"ModelInfer": _many_headers},
    "an unknown model, and an index of 100,000 others": {
        "ModelMetadata": _refusing(grpc.StatusCode.NOT_FOUND, "unknown model"),
        "RepositoryIndex": _index(100_000),
    },
}
