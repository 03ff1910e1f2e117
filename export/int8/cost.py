"""What layers in float32 cost: the speed and the size of an int8 network with and without them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy.typing as npt

from camserve.export.formats.runner import Runner
from camserve.export.int8.network import Int8Network
from camserve.export.int8.session import open_variant

__all__ = ["Cost", "measure_cost"]

_ROUNDS = 10, 60  # at least and at most
_SECONDS = 4.0  # of all rounds


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

    The three run in turn, one request each, so that all see the same load of the machine, and begin in turn; the ratios
    are medians over the rounds.

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
    for run in runners:
        run(images)  # allocates memory
    once = sum(_round(runners, images, 0))
    number = min(max(_ROUNDS[0], round(_SECONDS / once)), _ROUNDS[1])
    rounds = [_round(runners, images, turn) for turn in range(number)]
    return Cost(
        chosen_size,
        plain_size,
        float32_size,
        speed=round(median(plain / chosen for chosen, plain, _ in rounds), 2),
        float32_speed=round(median(float32 / chosen for chosen, _, float32 in rounds), 2),
        batch=len(images),
    )


def _round(runners: Sequence[Runner], images: npt.NDArray[Any], turn: int) -> list[float]:
    """Return the seconds of one request to each, in the order of the runners; another one begins in each turn."""
    seconds = [0.0] * len(runners)
    for place in range(len(runners)):
        index = (place + turn) % len(runners)
        start = time.perf_counter()
        runners[index](images)
        seconds[index] = time.perf_counter() - start
    return seconds
