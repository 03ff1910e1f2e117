"""How often `camserve serve` started Triton again, among Triton's own metrics."""

from __future__ import annotations

import json
import os

import triton_python_backend_utils as pb_utils

__all__ = ["RestartGauges"]

_VARIABLE = "CAMSERVE_RESTARTS"  # as in camserve.serving.server.launch, which cannot be imported inside Triton
_NAME = "camserve_restarts"


class RestartGauges:
    """The number of restarts by reason. Every instance of every model sets the same values.

    A gauge, since a counter could only be incremented, by each of them.
    """

    def __init__(self) -> None:
        restarts = json.loads(os.environ.get(_VARIABLE, "{}"))
        if not restarts:
            return
        # Stored, since the metrics of a family are deleted together with it.
        self._family = pb_utils.MetricFamily(
            name=_NAME,
            description="Number of times that camserve started Triton again after it had ended by itself",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._metrics = [self._family.Metric(labels={"reason": reason}) for reason in restarts]
        for metric, number in zip(self._metrics, restarts.values(), strict=True):
            metric.set(number)
