"""Why a framework failed, in one line of the many that it writes."""

from __future__ import annotations

import re

__all__ = ["reason"]

_CAUSE = re.compile(r"\s*(?:\w+\.)*\w*(?:Error|Exception): (.+)")
_DETAILS = " Full object config"  # where Keras begins to print a layer with all that is in it
_LONGEST = 200


def reason(error: Exception) -> str:
    """The cause that the text names, below the traceback that TensorFlow writes into it; else its first line."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    causes = [found[1] for line in lines if (found := _CAUSE.match(line))]
    told = (causes[-1] if causes else lines[0]).partition(_DETAILS)[0].strip().rstrip(".")
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
