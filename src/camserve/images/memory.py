"""What happens when there is not enough memory for an image: an error that names the image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from camserve.errors import ImageError

__all__ = ["enough_memory", "not_enough_memory"]


@contextmanager
def enough_memory(name: str) -> Iterator[None]:
    """Raise a lack of memory in the block as an error of the image.

    Raises:
        ImageError: If there is not enough memory.
    """
    try:
        yield
    except MemoryError:
        raise not_enough_memory(name) from None


def not_enough_memory(name: str) -> ImageError:
    """Return the error for an image for which there is not enough memory."""
    return ImageError(
        f"there is not enough memory for {name}",
        hint="Free memory, raise the limit of this process (ulimit -v), or process fewer images at once (concurrency, "
        "window_bytes; CLI: score --concurrency)",
    )
