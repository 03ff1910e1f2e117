"""The part of a model configuration about batches and their queue, written from options and read back."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.option import declared
from camserve.serving.config.serving_options import ServingOptions

__all__ = ["read_batching", "write_batching"]

_FIXED_SIZES = declared(ServingOptions)["batch_sizes"]

_REJECT, _CONTINUE = model_config_pb2.ModelQueuePolicy.REJECT, model_config_pb2.ModelQueuePolicy.DELAY


def write_batching(config: Any, options: ServingOptions) -> None:
    """Write the options into the message."""
    config.max_batch_size = options.max_batch_size
    for name in _FIXED_SIZES.parameters if options.batch_sizes != _FIXED_SIZES.default else ():
        config.parameters[name].string_value = _FIXED_SIZES.kind.encode(options.batch_sizes)
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = options.max_queue_delay_us
    batching.preferred_batch_size.extend(options.preferred_batch_sizes)
    batching.priority_levels = options.priority_levels
    batching.default_priority_level = options.default_priority
    queue = batching.default_queue_policy
    queue.max_queue_size = options.max_queue_size
    queue.default_timeout_microseconds = options.queue_timeout_us
    queue.timeout_action = _CONTINUE if options.queue_timeout_action == "continue" else _REJECT
    queue.allow_timeout_override = options.queue_timeout_override


def read_batching(config: Any) -> dict[str, Any]:
    """Return the options that `write_batching` wrote, by name."""
    batching = config.dynamic_batching
    queue = batching.default_queue_policy
    parameters = {name: parameter.string_value for name, parameter in config.parameters.items()}
    return {
        "max_batch_size": config.max_batch_size,
        "batch_sizes": _FIXED_SIZES.decode(parameters),
        "max_queue_delay_us": batching.max_queue_delay_microseconds,
        "preferred_batch_sizes": tuple(batching.preferred_batch_size),
        "max_queue_size": queue.max_queue_size,
        "queue_timeout_us": queue.default_timeout_microseconds,
        "queue_timeout_action": "continue" if queue.timeout_action == _CONTINUE else "reject",
        "queue_timeout_override": queue.allow_timeout_override,
        "priority_levels": batching.priority_levels,
        "default_priority": batching.default_priority_level,
    }
