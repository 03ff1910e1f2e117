"""Rules about batching, instances and warm-up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.accelerators import profile_sizes, tensorrt_accelerator
from camserve.serving.config.backends import THREADS, backend_of
from camserve.serving.config.instances import read_parameter
from camserve.serving.repository.lint.findings import ModelFolder, Note, warning
from camserve.serving.repository.lint.targets import Target
from camserve.text import count

__all__ = [
    "missing_instance_group",
    "missing_max_batch_size",
    "pausing_queue",
    "threads_above_cores",
    "unlimited_responses",
    "warm_up_gap",
]

_GPU = model_config_pb2.ModelInstanceGroup.KIND_GPU
_DEFAULT_INSTANCES = 2


def missing_max_batch_size(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Without it Triton uses 4 if it completes configurations, and no batching otherwise."""
    if model.config.max_batch_size == 0 and _runs(model.config):
        yield warning(
            "max_batch_size is missing: Triton uses 4, or no batching with --disable-auto-complete-config",
            "Set it: camserve publish BUNDLE_DIR --repository DIR --max-batch 8",
        )


def missing_instance_group(model: ModelFolder, target: Target) -> Iterator[Note]:
    """Without it Triton creates two instances on a CPU, each with a thread per core."""
    if not model.config.instance_group and _runs(model.config):
        yield warning(
            f"instance_group is missing: a CPU gets {_DEFAULT_INSTANCES} instances with "
            f"{count(target.cores, 'thread')} each",
            "Set it: camserve publish BUNDLE_DIR --repository DIR --instances 1",
        )


def pausing_queue(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """With a queue policy, Triton's batcher passes a batch to an instance only once that is idle.

    It notices an idle instance when the next request arrives, or after half a second; see
    `PriorityQueue::SupportPrefetching` in Triton's core.
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
            "the queue has a limit, a timeout or priorities: requests may pause for up to half a second",
            "Remove them and use deadlines of the clients: camserve publish BUNDLE_DIR --repository DIR --queue 0",
        )


def unlimited_responses(model: ModelFolder, target: Target) -> Iterator[Note]:
    """A request of a decoupled model has any number of responses; one of another model has one.

    Triton's gRPC server keeps each response of a request in memory until the last was sent, and reuses the memory only
    with a limit; see `ResponseQueue` in its `infer_handler.h`.
    """
    limit = "tritonserver --grpc-max-response-pool-size=8"
    if model.config.model_transaction_policy.decoupled:
        yield warning(
            "it is decoupled: Triton keeps all responses of a request in memory until the last is sent",
            f"Limit them: {limit}"
            if target.has_response_limit
            else f"Use Triton 25.04 or newer, and limit them: {limit}",
        )


def threads_above_cores(model: ModelFolder, target: Target) -> Iterator[Note]:
    """More threads than cores compete for the cores and wait for each other."""
    text = read_parameter(model.config, THREADS[backend_of(model.config)][0])
    threads = int(text) if text.isdecimal() and int(text) else target.cores
    instances = sum(max(1, group.count) for group in model.config.instance_group if group.kind != _GPU)
    if instances and threads * instances > target.cores:
        fewer = min(instances, target.cores)
        yield warning(
            f"{count(instances, 'instance')} × {count(threads, 'thread')} = {instances * threads} threads, but the "
            f"host has {count(target.cores, 'core')}",
            "Reduce them: "
            f"camserve publish BUNDLE_DIR --repository DIR --instances {fewer} --threads {target.cores // fewer}",
        )


def warm_up_gap(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The first batch of a size allocates memory and selects kernels or builds an engine."""
    config = model.config
    expected = {1, max(1, config.max_batch_size), *_profile(config)}
    missing = sorted(expected - {warm_up.batch_size for warm_up in config.model_warmup})
    if missing and _runs(config):
        sizes = ", ".join(str(size) for size in missing)
        yield warning(
            f"no warm-up for a batch size of {sizes}: the first request of that size is slow",
            "Add it: camserve publish BUNDLE_DIR --repository DIR --warm-up",
        )


def _runs(config: Any) -> bool:
    """Return whether the model runs itself, unlike an ensemble of other models."""
    return not config.HasField("ensemble_scheduling")


def _profile(config: Any) -> set[int]:
    accelerator = tensorrt_accelerator(config)
    return set() if accelerator is None else set(profile_sizes(accelerator.parameters).values())
