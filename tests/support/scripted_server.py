"""A gRPC server whose replies are given by the test, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
import numpy as np
from support.certificates import Pair
from tritonclient.grpc import service_pb2

__all__ = ["Context", "ScriptedServer", "failing", "logits"]

Context = grpc.ServicerContext
Answer = Callable[[bytes, Context], bytes]
_THREADS = 16


def logits(version: str = "1") -> bytes:
    """Return a valid reply to a request for logits."""
    answer = service_pb2.ModelInferResponse(model_name="toy", model_version=version)
    answer.outputs.add(name="logits", datatype="FP32", shape=[1, 4])
    answer.raw_output_contents.append(np.zeros((1, 4), np.float32).tobytes())
    message: bytes = answer.SerializeToString()
    return message


def failing(code: grpc.StatusCode, why: str, *, times: int | None = None) -> Answer:
    """Return a handler that fails with a status, always or so many times, and then replies."""
    count = 0

    def answer(message: bytes, context: Context) -> bytes:
        nonlocal count
        count += 1
        if times is None or count <= times:
            context.abort(code, why)
        return logits()

    return answer


class ScriptedServer(grpc.GenericRpcHandler):
    """The server, as a context manager.

    Args:
        infer: Handles `ModelInfer`.
        ready: Handles `ServerReady`.
        host: Address to listen on.
        port: Port to listen on (default: any free port).
        pair: Certificate and key for TLS.
        memory: Whether to accept shared memory.
        unregister: Handles `SystemSharedMemoryUnregister`.

    Attributes:
        url: `host:port`.
        methods: The called methods, in order.
        metadata: Headers of the last call.
    """

    def __init__(
        self,
        infer: Answer = lambda message, context: logits(),
        *,
        ready: Answer = lambda message, context: b"\x08\x01",
        host: str = "127.0.0.1",
        port: int = 0,
        pair: Pair | None = None,
        memory: bool = False,
        unregister: Answer = lambda message, context: b"",
    ) -> None:
        self.methods: list[str] = []
        self.metadata: dict[str, str | bytes] = {}
        self._answers = {"ModelInfer": infer, "ServerReady": ready}
        if memory:
            for name in ("Register", "Status"):
                self._answers[f"SystemSharedMemory{name}"] = lambda message, context: b""
            self._answers["SystemSharedMemoryUnregister"] = unregister
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), [self], options=options)
        address = f"{host}:{port}"
        if pair is None:
            self.port = self._server.add_insecure_port(address)
        else:
            secrets = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])
            self.port = self._server.add_secure_port(address, secrets)
        self.url = f"{host}:{self.port}"

    def __enter__(self) -> ScriptedServer:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and end every pending call."""
        self._server.stop(grace=None).wait()

    def requests(self) -> int:
        """Return the number of inference requests."""
        return self.methods.count("ModelInfer")

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = details.method.rpartition("/")[2]
        self.methods.append(method)
        self.metadata = dict(details.invocation_metadata)
        answer = self._answers.get(method)
        return grpc.unary_unary_rpc_method_handler(answer) if answer else None
