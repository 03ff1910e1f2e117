"""Traps in how batches are built, copies are made and models are warmed up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.accelerators import profile_sizes, tensorrt_accelerator
from camserve.serving.config.backends import THREADS, backend_of
from camserve.serving.config.instances import read_parameter
from camserve.serving.repository.lint.findings import ModelFolder, Note, warning
from camserve.serving.repository.lint.targets import Target

__all__ = ["missing_instance_group", "missing_max_batch_size", "pausing_queue", "threads_above_cores", "warm_up_gap"]

_GPU = model_config_pb2.ModelInstanceGroup.KIND_GPU
_UNTOLD_INSTANCES = 2


def missing_max_batch_size(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Without it Triton takes 4 where it completes configurations, and builds no batches where it does not."""
    if model.config.max_batch_size == 0 and _runs(model.config):
        yield warning(
            "it has no max_batch_size: Triton takes 4, or no batches at all with --disable-auto-complete-config",
            "Set it: camserve publish … --max-batch 8",
        )


def missing_instance_group(model: ModelFolder, target: Target) -> Iterator[Note]:
    """Without it the CPU gets two copies, each with threads for every core."""
    if not model.config.instance_group and _runs(model.config):
        yield warning(
            f"it has no instance_group: a CPU gets {_UNTOLD_INSTANCES} copies with {target.cores} threads each",
            "Set it: camserve publish … --instances 1",
        )


def pausing_queue(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Where its queue has a policy, Triton's batcher hands over to an instance only once that waits for work.

    It learns of that by a request that comes meanwhile, or when it looks again, half a second later; with
    `PriorityQueue::SupportPrefetching` in Triton's core it needs not.
    """
    batching = model.config.dynamic_batching
    queue = batching.default_queue_policy
    if (
        queue.max_queue_size
        or queue.default_timeout_microseconds
        or queue.allow_timeout_override
        or batching.priority_levels
    ):
        yield warning(
            "its queue has a bound, a time-out or priorities: Triton then misses requests for up to half a second",
            "Leave them out, and let each client bring a deadline: camserve publish … --queue 0",
        )


def threads_above_cores(model: ModelFolder, target: Target) -> Iterator[Note]:
    """More threads than cores take turns, and each waits for those that are not running."""
    given = read_parameter(model.config, THREADS[backend_of(model.config)][0])
    threads = int(given) if given.isdecimal() and int(given) else target.cores
    copies = sum(max(1, group.count) for group in model.config.instance_group if group.kind != _GPU)
    if copies and threads * copies > target.cores:
        fewer = min(copies, target.cores)
        yield warning(
            f"instances × threads is {copies} × {threads} = {copies * threads}, and the host has {target.cores} cores",
            f"Share them out: camserve publish … --instances {fewer} --threads {target.cores // fewer}",
        )


def warm_up_gap(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The first batch of a size pays for memory, kernels and engines, unless the server has run one before."""
    config = model.config
    wanted = {1, max(1, config.max_batch_size), *_tuned(config)}
    missing = sorted(wanted - {warm_up.batch_size for warm_up in config.model_warmup})
    if missing and _runs(config):
        sizes = ", ".join(str(size) for size in missing)
        yield warning(
            f"no warm-up runs a batch of {sizes}: the first request of that size waits for what it prepares",
            "Warm it up: camserve publish … --warm-up",
        )


def _runs(config: Any) -> bool:
    """Whether it is a model of its own, and not an ensemble that hands on to others."""
    return not config.HasField("ensemble_scheduling")


def _tuned(config: Any) -> set[int]:
    accelerator = tensorrt_accelerator(config)
    return set() if accelerator is None else set(profile_sizes(accelerator.parameters).values())
