"""Counts the requests that ask for maps, among Triton's own metrics."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import triton_python_backend_utils as pb_utils

__all__ = ["MapCounter"]

_NAME = "camserve_cam_requests_total"
_MAPS = frozenset({"cam", "cam_all"})


class MapCounter:
    """The counter of one version of a model; it counts nothing on a server without metrics.

    Args:
        model: The model's name.
        version: The version's number.
    """

    def __init__(self, model: str, version: str) -> None:
        self._metric: Any = None
        try:
            # Kept, since a family takes its metrics with it.
            self._family = pb_utils.MetricFamily(
                name=_NAME,
                description="Requests that asked for a class activation map",
                kind=pb_utils.MetricFamily.COUNTER,
            )
            self._metric = self._family.Metric(labels={"model": model, "version": version})
        except pb_utils.TritonModelException as error:
            pb_utils.Logger.log_warn(f"model {model}: requests for maps are not counted: {error}")

    def count(self, wanted: Collection[Collection[str]]) -> None:
        """Adds the requests of a batch, given the names of the outputs that each asked for."""
        asked = sum(not _MAPS.isdisjoint(names) for names in wanted)
        if asked and self._metric is not None:
            self._metric.increment(asked)
