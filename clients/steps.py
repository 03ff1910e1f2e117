"""The way of a call as steps that threads and asyncio share: what is to be done, without who waits for it.

A call is a generator. It yields what has to be waited for, and is sent the outcome, or has the error thrown into it.
The two classifiers differ only in how they wait.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

__all__ = ["Call", "Steps", "Walk", "Work"]

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """Something to ask a transport: `Transport` answers with the value, `AsyncTransport` with one to await."""

    of: Callable[[Any], Any]


@dataclass(frozen=True)
class Work:
    """Something to compute that takes long, such as decoding an image, and must not hold up an event loop."""

    run: Callable[[], Any]


Step = Call | Work
Steps = Generator[Step, Any, T]


class Walk(Generic[T]):
    """Steps on their way.

    Args:
        steps: The steps.

    Attributes:
        next: The step to be taken now; None once all are.
        result: What came of them, from then on.
    """

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.result: T
        self.next: Step | None = self._resumed(lambda: next(steps))

    def took(self, outcome: Any) -> None:
        """The step was taken, with this outcome."""
        self.next = self._resumed(lambda: self._steps.send(outcome))

    def failed(self, error: Exception) -> None:
        """The step failed; raises the error again unless the steps know what to do about it."""
        try:
            self.next = self._resumed(partial(self._steps.throw, error))
        finally:
            del error  # whose traceback holds this frame

    def _resumed(self, resume: Callable[[], Step]) -> Step | None:
        try:
            return resume()
        except StopIteration as end:
            self.result = end.value
            return None
        except Exception as error:
            del resume  # it may hold the error, and is held by its traceback
            _clear_frames(error)
            raise


def _clear_frames(error: BaseException) -> None:
    """Empties the frames behind an error, of which some hold it in turn: the image and its tensor would stay as long.

    Where it came from can still be read.
    """
    behind: BaseException | None = error
    while behind is not None:
        traceback.clear_frames(behind.__traceback__)
        behind = behind.__cause__
