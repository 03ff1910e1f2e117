"""A server with Triton's protocol whose answers are given by the test, including invalid ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract

__all__ = ["StubServer", "Tensors", "correct_answer"]

Tensors = Mapping[str, np.ndarray[Any, Any]]
_TYPES = {
    np.dtype(np.float32): "FP32",
    np.dtype(np.int32): "INT32",
    np.dtype(np.int64): "INT64",
    np.dtype(np.float64): "FP64",
}


def correct_answer(contract: ModelContract, count: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Return an answer that matches the contract: class 1 is the best, then 0, 2, 3 and so on."""
    scores = -np.arange(contract.classes, dtype=np.float32)
    scores[1] = 1.0
    powers = np.exp(scores)
    answers = {"logits": scores, "probabilities": powers / powers.sum()}
    if contract.cam is not None:
        best = np.argsort(-scores, kind="stable").astype(np.int32)
        answers["cam_class"] = best[: contract.cam.top_k]
        answers["cam"] = np.ones((contract.cam.top_k, *contract.cam.grid), np.float32)
    return {name: np.stack([array] * count) for name, array in answers.items()}


class StubServer:
    """The server, as a context manager.

    Args:
        contract: The contract of its model.
        answer: Returns the outputs for the requested names and the number of images; they are sent unchanged.
        labels: The labels of its model.
        max_batch_size: The maximum batch size of its model.

    Attributes:
        url: `host:port`.
        contract_text: The contract that it sends, if it is another; may be changed.
        version: The version of its model; may be changed.
        ready: Whether it reports its model as ready; may be changed.
        batch_sizes: Number of images of each request, in order.
        cancelled: Number of requests that the client ended before there was an answer.
    """

    def __init__(
        self,
        contract: ModelContract,
        answer: Callable[[Sequence[str], int], Tensors],
        *,
        labels: Sequence[str] = ("a", "b", "c", "d"),
        max_batch_size: int = 8,
    ) -> None:
        self.contract = contract
        self.contract_text: str | None = None
        self.labels = labels
        self.max_batch_size = max_batch_size
        self.answer = answer
        self.version = "1"
        self.ready = True
        self.batch_sizes: list[int] = []
        self.cancelled = 0
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(self), self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> StubServer:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and end every pending call."""
        self._server.stop(grace=None).wait()


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, server: StubServer) -> None:
        self._server = server

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self._server.ready)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        contract = self._server.contract
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=[self._server.version])
        answer.inputs.add(name=contract.input.name, datatype=contract.input.dtype, shape=[-1, *contract.input.shape])
        for output in contract.outputs:
            answer.outputs.add(name=output.name, datatype=output.dtype, shape=[-1, *output.shape])
        return answer

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = self._server.max_batch_size
        answer.config.parameters[CONTRACT_PARAMETER].string_value = (
            self._server.contract_text or self._server.contract.to_json()
        )
        answer.config.parameters[LABELS_PARAMETER].string_value = "\n".join(self._server.labels)
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        count = request.inputs[0].shape[0]
        self._server.batch_sizes.append(count)
        answered = threading.Event()
        context.add_callback(lambda: self._record_end(answered))
        tensors = self._server.answer([output.name for output in request.outputs], count)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=self._server.version)
        for name, array in tensors.items():
            answer.outputs.add(name=name, datatype=_TYPES[array.dtype], shape=array.shape)
            answer.raw_output_contents.append(array.tobytes())
        answered.set()
        return answer

    def _record_end(self, answered: threading.Event) -> None:
        if not answered.is_set():
            self._server.cancelled += 1
