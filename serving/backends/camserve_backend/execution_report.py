"""What an instance runs on and what it lacks, for a client that requests to know it.

A request with the parameter `camserve_report` gets both as parameters of its response. `camserve publish --url` sends
it, since the log of a server is out of its reach. Other requests get what they would get without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

__all__ = ["ExecutionReport"]

# As in camserve.serving.live.server, which cannot be imported inside Triton.
_REQUEST = "camserve_report"
_PROVIDER = "camserve_provider"
_WARNINGS = "camserve_warnings"


class ExecutionReport:
    """The report of an instance.

    Args:
        provider: What it runs on, such as `CUDA`.
        warnings: What it lacks.
    """

    def __init__(self, provider: str, warnings: Sequence[str]) -> None:
        self._parameters = {_PROVIDER: provider, _WARNINGS: "\n".join(warnings)}

    def added(self, requests: Sequence[Any], responses: Sequence[Any]) -> list[Any]:
        """Return the responses; those to requests for the report contain it."""
        # The parameters are a string of JSON, which need not be parsed to find a name in it.
        return [
            self._with_report(response) if _REQUEST in request.parameters() else response
            for request, response in zip(requests, responses, strict=True)
        ]

    def _with_report(self, response: Any) -> Any:
        if response.has_error():
            return response
        return pb_utils.InferenceResponse(output_tensors=response.output_tensors(), parameters=self._parameters)
