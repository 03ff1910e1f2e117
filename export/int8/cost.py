"""What layers in float32 cost: the speed and the size of an int8 network with and without them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy.typing as npt

from camserve.export.formats.runner import Runner
from camserve.export.int8.network import Int8Network
from camserve.export.int8.session import open_variant

__all__ = ["Cost", "measure_cost"]

_ROUNDS = 7
_SECONDS = 0.2  # of each file in each round


@dataclass(frozen=True)
class Cost:
    """Speed and size of an int8 network with some layers in float32.

    Attributes:
        bytes: Size of the graph, in bytes.
        plain_bytes: Its size with all layers in int8.
        float32_bytes: Its size in float32.
        speed: Images per second relative to all layers in int8, on this CPU; None if the network is for another
            processor.
        float32_speed: Images per second relative to float32, on this CPU; None if the network is for another processor.
        batch: Number of images in each request of the measurement; 0 without one.
    """

    bytes: int
    plain_bytes: int
    float32_bytes: int
    speed: float | None = None
    float32_speed: float | None = None
    batch: int = 0

    def as_document(self) -> dict[str, Any]:
        """Return the cost as it is stored in `report.json`."""
        return asdict(self)


def measure_cost(network: Int8Network, float_layers: tuple[str, ...], images: npt.NDArray[Any]) -> Cost:
    """Measure an int8 network with some layers in float32, beside all layers in int8 and beside float32.

    The three run in turn, so that all see the same load of the machine; the ratios are medians over the rounds.

    Args:
        network: The network.
        float_layers: The layers in float32.
        images: A batch of inputs.
    """
    models = (network.quantized(float_layers), network.quantized(), network.float32)
    chosen_size, plain_size, float32_size = (model.ByteSize() for model in models)
    if network.target != "cpu":
        return Cost(chosen_size, plain_size, float32_size)
    runners = [open_variant(model) for model in models]
    repeats = max(1, round(_SECONDS / min(_seconds(run, images, 1) for run in runners)))
    rounds = [[_seconds(run, images, repeats) for run in runners] for _ in range(_ROUNDS)]
    return Cost(
        chosen_size,
        plain_size,
        float32_size,
        speed=round(median(plain / chosen for chosen, plain, _ in rounds), 2),
        float32_speed=round(median(float32 / chosen for chosen, _, float32 in rounds), 2),
        batch=len(images),
    )


def _seconds(run: Runner, images: npt.NDArray[Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run(images)
    return time.perf_counter() - start
