"""KServe's Python server over gRPC. It has no batching: that of KServe is in another container, for HTTP and JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import kserve.protocol.grpc.server as grpc_server
from grpc import aio
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from network import HOST, PORT, Network

THREADS = 4  # KServe's default


class Classifier(Model):
    """A model, as KServe's documentation on custom models shows it."""

    def __init__(self) -> None:
        super().__init__("model")
        self.network = Network()
        self.enable_latency_logging = False
        self.ready = True

    async def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, response_headers: Any = None
    ) -> InferResponse:
        """Classify the images of a request."""
        # The next requests are read meanwhile.
        logits = await asyncio.to_thread(self.network.logits, payload.inputs[0].as_numpy())
        output = InferOutput("logits", list(logits.shape), "FP32")
        output.set_data_from_numpy(logits, binary_data=True)
        return InferResponse(payload.id or "", self.name, [output], use_binary_outputs=True)


def on_loopback(create: Callable[..., Any]) -> Callable[..., Any]:
    """Let the servers that a function creates listen on the loopback address, which KServe has no option for."""

    def create_on_loopback(*arguments: Any, **options: Any) -> Any:
        server = create(*arguments, **options)
        listen = server.add_insecure_port
        server.add_insecure_port = lambda address: listen(address.replace("[::]", HOST))
        return server

    return create_on_loopback


async def main() -> None:
    """Serve over gRPC alone."""
    aio.server = on_loopback(aio.server)
    models = ModelRepository()
    models.update(Classifier())
    unlimited = {f"grpc_max_{way}_message_length": -1 for way in ("send", "receive")}
    server = grpc_server.GRPCServer(PORT, DataPlane(models), ModelRepositoryExtension(models), unlimited)
    await server.start(THREADS)


if __name__ == "__main__":
    asyncio.run(main())
