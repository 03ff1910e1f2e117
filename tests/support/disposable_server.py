"""A Triton for tests that do not check its shutdown."""

from __future__ import annotations

from types import TracebackType

from camserve.serving import TritonServer

__all__ = ["DisposableServer"]


class DisposableServer(TritonServer):
    """A `TritonServer` that is killed at the end of its context: a graceful shutdown takes Triton 3 seconds."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace=0)
