"""The refusal of a model that was published for GPUs, on a host without one that can be used."""

from __future__ import annotations

import re

__all__ = ["explain_missing_gpu"]

# A list of GPUs after the last words means that there are others than the requested one.
_REFUSAL = re.compile(
    r"instance group \S+ of model \S+ (?:has kind KIND_GPU but no GPUs are available"
    r"|specifies invalid or unsupported gpu id \d+\. GPUs with at least .+? are:?\s*$)"
)
_BACKEND_REFUSAL = "a GPU instance requires"  # of camserve's backends, which name the cause
_EXPLANATION = "it was published for GPUs, and Triton finds no GPU that it can use on its host"


def explain_missing_gpu(message: str) -> str | None:
    """Return a message of Triton with the cause in plain words; None if the cause is not a GPU that is missing."""
    explained, found = _REFUSAL.subn(_EXPLANATION, message)
    return explained if found or _BACKEND_REFUSAL in message else None
