"""Short messages from the exceptions of Keras, TensorFlow and tf2onnx, whose text may have hundreds of lines."""

from __future__ import annotations

import re

__all__ = ["reason"]

_CAUSE = re.compile(r"\s*(?:\w+\.)*\w*(?:Error|Exception): (.+)")
_CALLED = re.compile(r"Exception encountered when calling .+?\n+\x1b\[1m(.+?)\x1b\[0m", re.DOTALL)
_DESERIALIZED = re.compile(r"Error when deserializing class '(\w+)' using config=\{'name': '([^']*)'")
_ENCOUNTERED = re.compile(r"^(?:Exception encountered|Error encountered during deserialization): (.+)", re.MULTILINE)
_NOT_LOADED = re.compile(
    r"Example error message for object <(\w+) name=([^,>]+)[^>]*>:\s+(.+?)(?: Target variable: |$)", re.MULTILINE
)
_DETAILS = " Full object config"  # after which Keras prints the whole configuration of a layer
_ADDRESS = re.compile(r"<(?:[\w.]*\.)?(\w+) (?:object )?at 0x[0-9a-f]+>")
_MAX_LENGTH = 200


def reason(error: Exception) -> str:
    """Return the last cause in the traceback that TensorFlow puts into a message, or else the message's first line.

    Keras precedes the message of a layer's exception by the name of the layer, and prints it in bold.
    """
    called = _CALLED.match(str(error))
    message = called[1] if called else _without_configuration(str(error))
    lines = [line for line in message.splitlines() if line.strip()] or [type(error).__name__]
    causes = [found[1] for line in lines if (found := _CAUSE.match(line))]
    text = (causes[-1] if causes else lines[0]).partition(_DETAILS)[0].strip().rstrip(".")
    text = _ADDRESS.sub(r"\1", text)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def _without_configuration(message: str) -> str:
    """Return the innermost layer and its problem from a message of Keras about a file, which repeats the model."""
    found = _NOT_LOADED.search(message)
    if found:
        return f"layer {found[2]!r} ({found[1]}): {found[3]}"
    innermost, layers = _ENCOUNTERED.findall(message), _DESERIALIZED.findall(message)
    if not innermost:
        return message
    return f"layer {layers[-1][1]!r} ({layers[-1][0]}): {innermost[-1]}" if layers else str(innermost[-1])
