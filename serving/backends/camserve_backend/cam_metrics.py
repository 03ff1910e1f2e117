"""A counter of the requests for class activation maps, among Triton's own metrics."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import triton_python_backend_utils as pb_utils

__all__ = ["CamCounter"]

_NAME = "camserve_cam_requests_total"
_MAPS = frozenset({"cam", "cam_all"})  # as in camserve.tensors, which cannot be imported inside Triton


class CamCounter:
    """The counter of one version of a model. It does nothing on a server without metrics.

    Args:
        model: Name of the model.
        version: The version number, as Triton passes it.
    """

    def __init__(self, model: str, version: str) -> None:
        self._metric: Any = None
        try:
            # Stored, since the metrics of a family are deleted together with it.
            self._family = pb_utils.MetricFamily(
                name=_NAME,
                description="Requests for a class activation map",
                kind=pb_utils.MetricFamily.COUNTER,
            )
            self._metric = self._family.Metric(labels={"model": model, "version": version})
        except pb_utils.TritonModelException as error:
            pb_utils.Logger.log_warn(f"model {model}: requests for maps are not counted: {error}")

    def count(self, requested: Collection[Collection[str]]) -> None:
        """Count the requests of a batch.

        Args:
            requested: For each request, the names of the requested outputs.
        """
        with_maps = sum(not _MAPS.isdisjoint(names) for names in requested)
        if with_maps and self._metric is not None:
            self._metric.increment(with_maps)
