"""BentoML with its adaptive batching, over HTTP with raw bytes.

As its documentation on adaptive batching of several services shows it: one receives requests, and calls the batched
method of another, which gets arrays in pickled form. An array in a request from outside would have to be JSON.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from fastapi import Body, FastAPI, Response
from network import HOST, MAX_BATCH, PORT, Network, decode

LATENCY_MS = 120_000  # requests are refused when they would take longer
TRAFFIC = {"timeout": 120, "max_concurrency": 1024}

app = FastAPI()


@bentoml.service(workers=1, traffic=TRAFFIC)
class Classifier:
    """The network."""

    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=LATENCY_MS)
    def classify(self, images: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        """Classify a batch."""
        return self.network.logits(images)


@bentoml.service(workers=1, traffic=TRAFFIC)
@bentoml.asgi_app(app, path="/raw")
class Front:
    """What receives requests."""

    classifier = bentoml.depends(Classifier)

    @app.post("/classify")
    async def classify(self, content: Annotated[bytes, Body()]) -> Any:
        """Return the logits of an image."""
        logits = await self.classifier.to_async.classify(decode(content))
        return Response(np.ascontiguousarray(logits, np.float32).tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.environ["BENTOML_CONFIG_OPTIONS"] = "api_server.logging.access.enabled=false"
    words = ["serve", "server:Front", "--host", HOST, "--port", str(PORT), "--working-dir", str(Path(__file__).parent)]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *words])
