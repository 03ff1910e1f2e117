"""What an instance runs on and what it lacks, for a client that requests to know it.

A request with the parameter `camserve_report` is answered with the report, as JSON in bytes in place of the first
requested output. `camserve publish --url` sends it, since the log of a server is out of its reach. The Python stub of
Triton 24.10 cannot add parameters to a response. Triton's C++ backends ignore the parameter and run the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .execution import to_tensor

__all__ = ["ExecutionReport"]

_REQUEST = "camserve_report"  # as in camserve.serving.live.backend_messages, which cannot be imported inside Triton


class ExecutionReport:
    """The report of an instance.

    Args:
        provider: What it runs on, such as `CUDA`.
        warnings: What it lacks.
    """

    def __init__(self, provider: str, warnings: Sequence[str]) -> None:
        text = json.dumps({"provider": provider, "warnings": list(warnings)})
        self._bytes = np.frombuffer(text.encode(), np.uint8)

    @staticmethod
    def is_requested(request: Any) -> bool:
        """Whether a request is for the report."""
        # The parameters are a string of JSON, which need not be parsed to find a name in it.
        return _REQUEST in request.parameters()

    def response(self, request: Any) -> Any:
        """Return the response to a request for the report."""
        name = next(iter(request.requested_output_names()))
        return pb_utils.InferenceResponse(output_tensors=[to_tensor(name, self._bytes.copy())])
