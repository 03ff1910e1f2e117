"""The versions of the viewed model: a classifier for each that was chosen."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType

from camserve.clients import Classifier
from camserve.errors import NotLoadedError, UsageError
from camserve.text import shortened

__all__ = ["Versions"]

_OPEN_AT_ONCE = 16
"""More than can be in use at once."""


class Versions:
    """The versions of a model that its server serves. May be used from several threads.

    Args:
        open_: Connects a classifier of a version; an empty version is the newest.

    Raises:
        ClientError: If no server serves the model.
    """

    def __init__(self, open_: Callable[[str], Classifier]) -> None:
        self._open = open_
        self._newest = open_("")
        self._opened: OrderedDict[str, Classifier] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Versions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every classifier, which ends the wait for its requests."""
        for classifier in (self._newest, *self._opened.values()):
            classifier.close()

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._newest.model

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of the servers."""
        return tuple(self._newest.urls)

    def ready(self) -> tuple[str, ...]:
        """Query which versions are served now, the newest first.

        Raises:
            ClientError: If the server does not answer, or serves none.
        """
        versions = self._newest.versions()
        if not versions:
            raise NotLoadedError(
                f"the server reports no version of model {self.model!r}", hint="Load the model, then reload the page"
            )
        return versions

    def classifier(self, version: str) -> Classifier:
        """Return the classifier of a version.

        Raises:
            UsageError: If the version is no number.
            ClientError: If the server does not serve it.
        """
        if not (version.isascii() and version.isdecimal()):
            raise UsageError(f"{shortened(version, 60)!r} is not a version", hint="Choose a version from the list")
        with self._lock:
            if version not in self._opened:
                self._opened[version] = self._open(version)
            self._opened.move_to_end(version)
            while len(self._opened) > _OPEN_AT_ONCE:
                self._opened.popitem(last=False)[1].close()
            return self._opened[version]
