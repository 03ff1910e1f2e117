"""Keeps what a client proves itself by out of what others said: a proxy may quote the token that it refuses."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["redact"]

_SHORTEST = 4
"""A value of fewer characters is no secret, and to blot it out would make nonsense of a message."""


def redact(text: str, metadata: Iterable[tuple[str, str]]) -> str:
    """The text with the values of headers blotted out.

    Args:
        text: What a server, or gRPC, said; in one line.
        metadata: Names and values of the headers that were sent.
    """
    values = {" ".join(value.removeprefix("Bearer ").split()) for _, value in metadata}
    for value in sorted((each for each in values if len(each) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(value, "[hidden]")
    return text
