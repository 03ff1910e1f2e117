"""A server with Triton's protocol that replies with any bytes, and every odd value in place of each field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc
from support.stub_server import correct_answer
from support.toy import toy_contract
from tritonclient.grpc import model_config_pb2, service_pb2

from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER

__all__ = ["HostileServer", "Reply", "correct_answer_to", "correct_replies", "mutations"]

Reply = bytes | Callable[[bytes, grpc.ServicerContext], bytes]

_CONTRACT = toy_contract()
_DTYPES = {"float32": "FP32", "int32": "INT32"}


def correct_replies() -> dict[str, Any]:
    """Return the messages of a correct server of the toy model, by method, for requests of all outputs.

    Class `b` is the best.
    """
    metadata = service_pb2.ModelMetadataResponse(name="toy", versions=["1"], platform="onnxruntime_onnx")
    metadata.inputs.add(name="image", datatype="FP32", shape=[-1, *_CONTRACT.input.shape])
    for output in _CONTRACT.outputs:
        metadata.outputs.add(name=output.name, datatype=output.dtype, shape=[-1, *output.shape])
    config = model_config_pb2.ModelConfig(name="toy", platform="onnxruntime_onnx", max_batch_size=8)
    config.parameters[CONTRACT_PARAMETER].string_value = _CONTRACT.to_json()
    config.parameters[LABELS_PARAMETER].string_value = "a\nb\nc\nd"
    reply = service_pb2.ModelInferResponse(model_name="toy", model_version="1")
    for name, array in correct_answer(_CONTRACT).items():
        reply.outputs.add(name=name, datatype=_DTYPES[array.dtype.name], shape=array.shape)
        reply.raw_output_contents.append(array.tobytes())
    return {
        "ServerReady": service_pb2.ServerReadyResponse(ready=True),
        "ModelReady": service_pb2.ModelReadyResponse(ready=True),
        "ModelMetadata": metadata,
        "ModelConfig": service_pb2.ModelConfigResponse(config=config),
        "ModelInfer": reply,
    }


def correct_answer_to(message: bytes) -> bytes:
    """Return the reply with the outputs that a request is for."""
    requested = {output.name for output in service_pb2.ModelInferRequest.FromString(message).outputs}
    reply = correct_replies()["ModelInfer"]
    kept = [
        (output, raw)
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
        if output.name in requested
    ]
    _set_list(reply, "outputs", [output for output, _ in kept])
    _set_list(reply, "raw_output_contents", [raw for _, raw in kept])
    serialized: bytes = reply.SerializeToString()
    return serialized


class HostileServer(grpc.GenericRpcHandler):
    """The server, as a context manager. It serves one model for one image per request, with the version 1.

    Attributes:
        url: `host:port`.
        replies: The reply to each method; may be changed.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.reset()
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
        self._server.add_generic_rpc_handlers((self,))
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def reset(self, **changed: Reply) -> None:
        """Reply correctly to every method, except for the given ones."""
        correct = {method: reply.SerializeToString() for method, reply in correct_replies().items()}
        self.replies = {**correct, "ModelInfer": lambda message, _: correct_answer_to(message), **changed}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a method."""
        reply = self.replies.get(handler_call_details.method.rpartition("/")[2])
        if reply is None:
            return None
        return grpc.unary_unary_rpc_method_handler(reply if callable(reply) else lambda *_: reply)

    def __enter__(self) -> HostileServer:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(grace=None).wait()


_NUMBERS = (-(2**63), -(2**31), -5, -1, 0, 1, 33, 2**31 - 1, 2**31, 2**62, 2**63 - 1)
_TEXTS = ("", "x", "9" * 5_000, "\x1b[2J\x1b]0;x\x07\n\r\0", "é\u202e\u2028", "a" * 100_000)
_BYTES = (b"", b"\0" * 3, b"\xff" * 17, bytes(100_000))
_REPEATS = (2, 300)


def mutations(message: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield changed copies of a message, with what was changed: every field that is set, and every number that is not.

    A number becomes negative, 0 and as large as its type allows; a text empty, long, and one with control characters;
    a list empty, and its first item is repeated. A message cannot contain a number that its type does not allow.
    """
    for field in message.DESCRIPTOR.fields:
        where = f"{path}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _changed_map(message, field, where)
        elif field.is_repeated:
            yield from _changed_list(message, field, where)
        elif field.message_type is None:
            for value in _odd_values(field):
                yield (
                    f"{where} = {value!r:.40}",
                    _copy(message, _set, field.name, value),
                )
        elif message.HasField(field.name):
            for what, part in mutations(getattr(message, field.name), f"{where}."):
                yield what, _copy(message, _set_part, field.name, part)


def _changed_list(message: Any, field: Any, where: str) -> Iterator[tuple[str, Any]]:
    items = list(getattr(message, field.name))
    if not items:
        return
    for changed, what in [([], "empty"), *((items[:1] * times + items, f"{times} more") for times in _REPEATS)]:
        yield f"{where}: {what}", _copy(message, _set_list, field.name, changed)
    for place, item in enumerate(items):
        if field.message_type is None:
            odd = [(f"{where}[{place}] = {value!r:.40}", value) for value in _odd_values(field)]
        else:
            odd = list(mutations(item, f"{where}[{place}]."))
        for what, value in odd:
            changed = [*items[:place], value, *items[place + 1 :]]
            yield what, _copy(message, _set_list, field.name, changed)


def _changed_map(message: Any, field: Any, where: str) -> Iterator[tuple[str, Any]]:
    for key in sorted(getattr(message, field.name)):
        yield f"{where}[{key}]: missing", _copy(message, _remove_key, field.name, key)
        for what, value in mutations(getattr(message, field.name)[key], f"{where}[{key}]."):
            yield what, _copy(message, _set_key, field.name, (key, value))


def _odd_values(field: Any) -> Iterator[Any]:
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        yield from _TEXTS if field.type == field.TYPE_STRING else _BYTES
    elif field.type == field.TYPE_BOOL:
        yield from (True, False)
    elif field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        yield from (float("nan"), float("inf"), -1.0)
    else:
        low, high = _RANGES.get(field.cpp_type, (-(2**31), 2**31 - 1))
        yield from (number for number in _NUMBERS if low <= number <= high)


_RANGES = {  # by the C++ type of a field; that of enumerations is a signed integer of 32 bits
    2: (-(2**63), 2**63 - 1),
    3: (0, 2**32 - 1),
    4: (0, 2**64 - 1),
}


def _copy(message: Any, change: Callable[[Any, str, Any], None], name: str, value: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    change(copy, name, value)
    return copy


def _set(message: Any, name: str, value: Any) -> None:
    setattr(message, name, value)


def _set_part(message: Any, name: str, part: Any) -> None:
    getattr(message, name).CopyFrom(part)


def _remove_key(message: Any, name: str, key: Any) -> None:
    getattr(message, name).pop(key)


def _set_key(message: Any, name: str, entry: tuple[Any, Any]) -> None:
    getattr(message, name)[entry[0]].CopyFrom(entry[1])


def _set_list(message: Any, name: str, items: list[Any]) -> None:
    values = getattr(message, name)
    del values[:]
    values.extend(items)
