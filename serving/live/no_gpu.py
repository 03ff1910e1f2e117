"""The refusal of a model that was published for GPUs, on a host without one that can be used."""

from __future__ import annotations

import re

__all__ = ["explain_missing_gpu", "lacks_gpu"]

# A list of GPUs after the last words means that there are others than the requested one.
_REFUSAL = re.compile(
    r"instance group \S+ of model \S+ (?:has kind KIND_GPU but no GPUs are available"
    r"|specifies invalid or unsupported gpu id \d+\. GPUs with at least .+? are:?\s*$)"
)
_BACKEND_REFUSAL = "a GPU instance requires"  # of camserve's backends, which name the cause
_EXPLANATION = "it was published for GPUs, and Triton finds no GPU that it can use on its host"


def explain_missing_gpu(message: str) -> str:
    """Return a message of Triton, with the cause in plain words if it is a GPU that is missing."""
    return _REFUSAL.sub(_EXPLANATION, message)


def lacks_gpu(message: str) -> bool:
    """Check whether the cause in such an explained message, or in one of camserve's backends, is a missing GPU."""
    return _EXPLANATION in message or _BACKEND_REFUSAL in message
