"""Short messages from the exceptions of Keras, TensorFlow and tf2onnx, whose text may have hundreds of lines."""

from __future__ import annotations

import re

__all__ = ["reason"]

_CAUSE = re.compile(r"\s*(?:\w+\.)*\w*(?:Error|Exception): (.+)")
_DETAILS = " Full object config"  # after which Keras prints the whole configuration of a layer
_ADDRESS = re.compile(r"<(?:[\w.]*\.)?(\w+) (?:object )?at 0x[0-9a-f]+>")
_WRAPPER = "Exception encountered when calling"  # the next line is the reason
_STYLE = re.compile(r"\x1b\[\d*m")
_MAX_LENGTH = 200


def reason(error: Exception) -> str:
    """Return the last cause in the traceback that TensorFlow puts into a message, or else the message's first line."""
    lines = [line for line in _STYLE.sub("", str(error)).splitlines() if line.strip()] or [type(error).__name__]
    lines = [line for line in lines if not line.startswith(_WRAPPER)] or lines
    causes = [found[1] for line in lines if (found := _CAUSE.match(line))]
    text = (causes[-1] if causes else lines[0]).partition(_DETAILS)[0].strip().rstrip(".")
    text = _ADDRESS.sub(r"\1", text)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"
