"""What could be chosen: candidates of bundles, backends and serving options, and the stages that refine them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from camserve.bundle import Bundle
from camserve.errors import UsageError
from camserve.serving.config.accelerator_options import Cpu
from camserve.serving.config.backends import Backend
from camserve.serving.config.fixed_sizes import BatchSizes
from camserve.serving.config.named_options import DEFAULTS, make_options
from camserve.serving.config.suitability import check_suitable

__all__ = ["STAGES", "Candidate", "Choices", "Stage", "first_candidates", "grid", "refined"]

_FIXED = (1, 2, 4, 8, 16, 32)
_MOST_INSTANCES = 16


@dataclass(frozen=True)
class Choices:
    """What may be chosen beside the bundle and the backend.

    Attributes:
        cores: Cores of this host.
        concurrencies: Numbers of requests in flight, ascending.
        batches: Largest batches, beside batches of one image.
        delays: Delays of the queue in microseconds.
    """

    cores: int
    concurrencies: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    batches: tuple[int, ...] = (4, 8, 16, 32)
    delays: tuple[int, ...] = (0, 2_000)


@dataclass(frozen=True)
class Candidate:
    """A bundle, a backend and serving options.

    Attributes:
        bundle: Folder of the bundle.
        precision: Precision of the bundle.
        backend: Triton's backend.
        instances: Instances of the model.
        threads: Threads of one instance.
        max_batch_size: Largest batch.
        max_queue_delay_us: How long a request may wait for others, in microseconds.
        batch_sizes: Fixed batch sizes; empty for any size, `auto` for what the backend prepares by itself.
    """

    bundle: str
    precision: str
    backend: Backend
    instances: int
    threads: int
    max_batch_size: int = 8
    max_queue_delay_us: int = 0
    batch_sizes: BatchSizes = "auto"

    @property
    def options(self) -> dict[str, Any]:
        """The serving options by name, as `publish` takes them."""
        return {
            "accelerator": Cpu.name,
            "instances": self.instances,
            "threads": self.threads,
            "max_batch_size": self.max_batch_size,
            "max_queue_delay_us": self.max_queue_delay_us,
            "batch_sizes": self.batch_sizes,
        }


@dataclass(frozen=True)
class Stage:
    """A stage of the search.

    Attributes:
        name: What it chooses.
        keep: How much slower than the fastest a candidate may be, as a share, to be refined in the next stage, where
            it may be the faster one.
        most: Number of candidates to refine at most.
    """

    name: str
    keep: float
    most: int


STAGES = (
    Stage("bundle and backend", keep=0.25, most=2),
    Stage("instances and threads", keep=0.10, most=2),
    Stage("largest batch", keep=0.05, most=2),
    Stage("delay and fixed batch sizes", keep=0.03, most=2),
)
"""The stages, in order: what matters most is chosen first."""


def first_candidates(bundles: Iterable[Bundle], cores: int) -> tuple[list[Candidate], list[str]]:
    """Return a candidate for each bundle and each backend that can serve it, and why others are left out.

    Args:
        bundles: The bundles.
        cores: Cores of this host.
    """
    candidates, left_out = [], []
    for bundle, backend in itertools.product(bundles, get_args(Backend)):
        precision = str(bundle.report.get("precision", "fp32")).partition(" ")[0]
        candidate = Candidate(str(bundle.path), precision, backend, instances=1, threads=cores)
        problem = _problem(bundle, candidate)
        if problem is None:
            candidates.append(candidate)
        else:
            left_out.append(f"{bundle.path.name} ({precision}) on {backend}: {problem}")
    return candidates, left_out


def refined(stage: Stage, candidate: Candidate, choices: Choices) -> list[Candidate]:
    """Return what a stage measures in place of a candidate."""
    index = STAGES.index(stage)
    return [candidate] if index == 0 else _REFINEMENTS[index - 1](candidate, choices)


def grid(candidates: Sequence[Candidate], choices: Choices) -> list[Candidate]:
    """Return every combination of the choices of all stages."""
    found = list(candidates)
    for refine in _REFINEMENTS:
        found = [each for candidate in found for each in refine(candidate, choices)]
    return found


def _teams(candidate: Candidate, choices: Choices) -> list[Candidate]:
    """Return candidates with other numbers of instances and threads, from one instance on all cores to one for each."""
    cores = choices.cores
    numbers = [number for number in (1, 2, 4, 8, 16, cores) if number <= min(cores, _MOST_INSTANCES)]
    teams = [(number, cores // number) for number in sorted(set(numbers))]
    if cores > 1:
        teams.append((2, cores))  # one computes while the other copies
    return [replace(candidate, instances=instances, threads=threads) for instances, threads in dict.fromkeys(teams)]


def _batches(candidate: Candidate, choices: Choices) -> list[Candidate]:
    """Return candidates with other largest batches."""
    return [replace(candidate, max_batch_size=batch) for batch in (1, *choices.batches)]


def _waiting(candidate: Candidate, choices: Choices) -> list[Candidate]:
    """Return candidates with other delays, and with fixed batch sizes where the backend has them.

    A batch of one image waits for nothing, and has one size.
    """
    if candidate.max_batch_size == 1:
        return [candidate]
    others: dict[Backend, BatchSizes] = {
        "onnxruntime": tuple(size for size in _FIXED if size <= candidate.max_batch_size),
        "openvino": (),  # `auto` are fixed sizes
    }
    sizes: list[BatchSizes] = ["auto", *([others[candidate.backend]] if candidate.backend in others else [])]
    return [
        replace(candidate, max_queue_delay_us=delay, batch_sizes=each)
        for delay, each in itertools.product(choices.delays, sizes)
    ]


_REFINEMENTS = (_teams, _batches, _waiting)


def _problem(bundle: Bundle, candidate: Candidate) -> str | None:
    """Return why a backend cannot serve a bundle, or None."""
    if candidate.backend == "tensorflow" and bundle.saved_model_path is None:
        return "the bundle has no SavedModel"
    if candidate.backend != "tensorflow" and bundle.onnx_path is None:
        return "the bundle has no ONNX file"
    return _refusal(candidate)


def _refusal(candidate: Candidate) -> str | None:
    """Return why the options of a candidate do not suit its backend and precision, or None."""
    try:
        make_options(candidate.options)
        check_suitable({**DEFAULTS, **candidate.options}, backend=candidate.backend, precision=candidate.precision)
    except UsageError as error:
        return error.message
    return None
