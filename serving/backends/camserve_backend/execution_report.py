"""What an instance runs on and what it lacks, for a client that requests to know it.

A request with the parameter `camserve_report` is answered with the report, as JSON in bytes in place of the first
requested output. `camserve publish --url` sends it, since the log of a server is out of its reach. The Python stub of
Triton 24.10 cannot add parameters to a response. Triton's C++ backends ignore the parameter and run the model.

So does a model with a response cache: Triton's cache ignores the parameters of requests, so each client that later
sends the same image would get the report. Triton 24.10 stores even an error, as a response without outputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
        config: The model's configuration.
    """

    def __init__(self, provider: str, warnings: Sequence[str], config: Mapping[str, Any]) -> None:
        self._cached = bool(config.get("response_cache", {}).get("enable"))
        text = json.dumps({"provider": provider, "warnings": list(warnings)})
        self._bytes = np.frombuffer(text.encode(), np.uint8)

    def is_requested(self, request: Any) -> bool:
        """Whether a request is for the report, and may have it."""
        # The parameters are a string of JSON, which need not be parsed to find a name in it.
        return not self._cached and _REQUEST in request.parameters()

    def response(self, request: Any) -> Any:
        """Return the response to a request for the report."""
        name = next(iter(request.requested_output_names()))
        return pb_utils.InferenceResponse(output_tensors=[to_tensor(name, self._bytes.copy())])
