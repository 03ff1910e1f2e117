"""How many images to send in one request to a server that is slow."""

from __future__ import annotations

__all__ = ["Pace"]

_SECONDS = 2.0

_SHARE_OF_TIMEOUT = 0.25


class Pace:
    """Limits requests to the images that the server answers in about 2 seconds, or a quarter of a shorter timeout.

    Threads share it; it depends on the latest request, so that it follows the load of the server.
    """

    def __init__(self) -> None:
        self._seconds = _SECONDS
        self._seconds_per_image = 0.0

    @property
    def most(self) -> int:
        """The most images of the next request."""
        seconds = self._seconds_per_image
        return max(1, int(self._seconds / seconds)) if seconds > self._seconds / 1_000_000 else 1_000_000

    def record(self, images: int, seconds: float) -> None:
        """Record a request of so many images that was answered after so many seconds."""
        self._seconds_per_image = seconds / images

    def record_timeout(self, images: int, seconds: float) -> None:
        """Record a request of so many images that was not answered within so many seconds."""
        self._seconds = min(self._seconds, _SHARE_OF_TIMEOUT * seconds)
        self.record(images, seconds)
