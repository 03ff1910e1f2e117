"""Ray Serve with its dynamic request batching, over HTTP with raw bytes."""

from __future__ import annotations

import os
import signal
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # the address of the node is that of the loopback interface

import numpy as np
import ray
from network import HOST, MAX_BATCH, PORT, Network, decode
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

BATCH_SECONDS = 0.001
PENDING = 256


@serve.deployment(max_ongoing_requests=PENDING, ray_actor_options={"num_cpus": 1})
class Classifier:
    """A deployment, as Ray's documentation on batching shows it."""

    def __init__(self) -> None:
        self.network = Network()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_SECONDS)
    async def classify(self, images: list[Any]) -> list[Any]:
        """Classify a batch."""
        return list(self.network.logits(np.concatenate(images)))

    async def __call__(self, request: Request) -> Response:
        """Return the logits of an image."""
        logits = await self.classify(decode(await request.body()))
        return Response(logits.tobytes(), media_type="application/octet-stream")


def application() -> Any:
    """Return what Ray Serve runs; the decorator has replaced the class."""
    deployment: Any = Classifier
    return deployment.bind()


def stay_on_loopback() -> None:
    """Have a worker's server for other workers listen on the loopback address, for which there is no option."""
    from ray.serve._private import replica

    listen = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: listen(server, address.replace("[::]", HOST))


if __name__ == "__main__":
    setup = {"worker_process_setup_hook": stay_on_loopback}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env=setup)
    serve.start(http_options={"host": HOST, "port": PORT})
    serve.run(application(), route_prefix="/classify")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
