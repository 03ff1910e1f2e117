"""The warnings of camserve's backends in the log of a running server."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event, Lock, Thread

from camserve.serving.server.log import backend_warning

__all__ = ["WarningWatch"]

_log = logging.getLogger("camserve.serving")

_POLL_SECONDS = 1.0


class WarningWatch:
    """Reads the log of one run and logs each warning once, however many instances give it.

    Args:
        log: The log file.
        start: Offset of the run in it, in bytes.
    """

    def __init__(self, log: Path, start: int) -> None:
        self._path = log
        self._offset = start
        self._found: dict[str, None] = {}
        self._reading = Lock()
        self._ended = Event()

    @property
    def found(self) -> tuple[str, ...]:
        """The warnings so far, one sentence each."""
        return tuple(self._found)

    def read(self) -> None:
        """Log the warnings that are new in the log."""
        with self._reading:
            for line in self._new_lines():
                warning = backend_warning(line)
                if warning is not None and warning not in self._found:
                    _log.warning("%s", warning)
                    self._found[warning] = None

    def follow(self) -> None:
        """Read the log again and again in a thread: clients load models while the server runs."""
        Thread(target=self._follow, name="camserve-warnings", daemon=True).start()

    def end(self) -> None:
        """Stop following."""
        self._ended.set()

    def _follow(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self.read()

    def _new_lines(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        try:
            if self._path.stat().st_size < self._offset:  # a log rotation emptied it
                self._offset = 0
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except OSError:
            return []
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode("utf-8", errors="replace").splitlines()
