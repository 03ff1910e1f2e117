"""The affine steps at the end of a network."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.export.graph.affine import BackwardRule, backward_rule
from camserve.export.graph.network import Network, Step, Value

__all__ = ["affine_path", "steps_before"]


def steps_before(network: Network, value: Value) -> Iterator[Step]:
    """Yield the steps that produce a value, last first, up to the first with several inputs."""
    step = network.producer(value)
    while step is not None:
        yield step
        step = network.producer(step.inputs[0]) if len(step.inputs) == 1 else None


def affine_path(network: Network, logits: Value) -> tuple[list[tuple[Step, BackwardRule]], Step | None]:
    """Return the affine steps back from the logits, last first, and the step before them: a pooling, or not affine."""
    path: list[tuple[Step, BackwardRule]] = []
    for step in steps_before(network, logits):
        rule = backward_rule(step)
        if rule is None:
            return path, step
        path.append((step, rule))
    return path, None
