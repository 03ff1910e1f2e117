"""MLServer with its adaptive batching, over gRPC.

An image is one element of bytes: MLServer converts numeric tensors to lists of Python numbers.
"""

from __future__ import annotations

import asyncio

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from network import HOST, MAX_BATCH, PORT, Network, decode, free_port

BATCH_SECONDS = 0.001


class Classifier(MLModel):
    """A runtime, as MLServer's documentation on custom runtimes shows it."""

    async def load(self) -> bool:
        """Open the network."""
        self.network = Network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Classify a batch."""
        images = np.concatenate([decode(content) for content in payload.inputs[0].data])
        logits = await asyncio.to_thread(self.network.logits, images)  # the next requests are read meanwhile
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)])


async def main() -> None:
    """Serve the model without worker processes, which would receive copies of the images."""
    settings = Settings(
        debug=False,
        host=HOST,
        grpc_port=PORT,
        http_port=free_port(),
        metrics_endpoint=None,
        parallel_workers=0,
        load_models_at_startup=False,
    )
    model = ModelSettings(
        name="model", implementation=Classifier, max_batch_size=MAX_BATCH, max_batch_time=BATCH_SECONDS
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
