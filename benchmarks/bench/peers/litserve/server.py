"""LitServe with its dynamic batching, over HTTP with raw bytes."""

from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body, Response
from network import HOST, MAX_BATCH, PORT, Network, decode

BATCH_SECONDS = 0.001


class Classifier(litserve.LitAPI):
    """An API, as LitServe's documentation on batching shows it."""

    def setup(self, device: str) -> None:
        """Open the network in the worker."""
        self.network = Network()

    def decode_request(self, request: Annotated[bytes, Body()]) -> Any:
        """Return the image of a request."""
        return decode(request)[0]

    def predict(self, x: Any) -> Any:
        """Classify a batch, which `batch` stacked."""
        return self.network.logits(np.asarray(x))

    def encode_response(self, output: Any) -> Response:
        """Return the logits of an image."""
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    api = Classifier(max_batch_size=MAX_BATCH, batch_timeout=BATCH_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(host=HOST, port=PORT, generate_client_file=False, log_level="warning")
