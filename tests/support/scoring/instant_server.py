"""A server with Triton's protocol that answers at once, in a process of its own.

    python -m support.scoring.instant_server BUNDLE [--max-batch 64]

It serves the model of the bundle, but returns the same answer for every image, made before. It reads no more of a
request than the number of images, accepts shared memory without mapping it, and prints its address.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from support.stub_server import correct_answer
from tritonclient.grpc import model_config_pb2, service_pb2

from camserve.bundle import load_bundle
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract

__all__ = ["InstantServer"]

MODEL = "instant"
_DTYPES = {"float32": "FP32", "int32": "INT32"}
_BYTES = {"UINT8": 1, "FP32": 4}
_LARGEST_HEADER = 4_096


class InstantServer(grpc.GenericRpcHandler):
    """The handler of all methods."""

    def __init__(self, contract: ModelContract, labels: list[str], max_batch: int) -> None:
        self._contract = contract
        self._image_bytes = int(np.prod(contract.input.shape)) * _BYTES[contract.input.dtype]
        self._answer = cache(self._answer_of)
        fixed = {name: message.SerializeToString() for name, message in _descriptions(contract, labels, max_batch)}
        self._replies: dict[str, Callable[[bytes, object], bytes]] = {
            name: lambda _request, _context, reply=reply: reply  # type: ignore[misc]
            for name, reply in fixed.items()
        }
        self._replies["ModelInfer"] = self._infer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a method."""
        reply = self._replies.get(handler_call_details.method.rpartition("/")[2])
        return grpc.unary_unary_rpc_method_handler(reply) if reply else None

    def _infer(self, request: bytes, _: object) -> bytes:
        if len(request) > _LARGEST_HEADER:  # the outputs are those of the last request that was read
            return self._answer(len(request) // self._image_bytes, self._outputs(request))
        message = service_pb2.ModelInferRequest.FromString(request)
        return self._answer(message.inputs[0].shape[0], tuple(output.name for output in message.outputs))

    def _outputs(self, request: bytes) -> tuple[str, ...]:
        """Return the requested outputs, whose names precede the pixels."""
        header = request[:_LARGEST_HEADER]
        return tuple(each.name for each in self._contract.outputs if _encoded_name(each.name) in header)

    def _answer_of(self, images: int, outputs: tuple[str, ...]) -> bytes:
        reply = service_pb2.ModelInferResponse(model_name=MODEL, model_version="1")
        for name, array in correct_answer(self._contract, images).items():
            if name in outputs:
                reply.outputs.add(name=name, datatype=_DTYPES[array.dtype.name], shape=array.shape)
                reply.raw_output_contents.append(array.tobytes())
        serialized: bytes = reply.SerializeToString()
        return serialized


def _encoded_name(name: str) -> bytes:
    """Return an output of a request, as it is encoded."""
    encoded: bytes = service_pb2.ModelInferRequest(outputs=[{"name": name}]).SerializeToString()
    return encoded


def _descriptions(contract: ModelContract, labels: list[str], max_batch: int) -> list[tuple[str, Any]]:
    metadata = service_pb2.ModelMetadataResponse(name=MODEL, versions=["1"], platform="onnxruntime_onnx")
    metadata.inputs.add(name="image", datatype=contract.input.dtype, shape=[-1, *contract.input.shape])
    for output in contract.outputs:
        metadata.outputs.add(name=output.name, datatype=output.dtype, shape=[-1, *output.shape])
    config = model_config_pb2.ModelConfig(name=MODEL, platform="onnxruntime_onnx", max_batch_size=max_batch)
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[LABELS_PARAMETER].string_value = "\n".join(labels)
    return [
        ("ServerLive", service_pb2.ServerLiveResponse(live=True)),
        ("ServerReady", service_pb2.ServerReadyResponse(ready=True)),
        ("ModelReady", service_pb2.ModelReadyResponse(ready=True)),
        ("ModelMetadata", metadata),
        ("ModelConfig", service_pb2.ModelConfigResponse(config=config)),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterResponse()),
        ("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusResponse()),
        ("SystemSharedMemoryUnregister", service_pb2.SystemSharedMemoryUnregisterResponse()),
    ]


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--max-batch", type=int, default=64)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    labels = list(bundle.labels)
    options = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    server.add_generic_rpc_handlers((InstantServer(bundle.contract, labels, arguments.max_batch),))
    sys.stdout.write(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}\n")
    server.start()
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
