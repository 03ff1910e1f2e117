"""Functions that run in a process of their own: an error of CUDA makes a process useless, and may end it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

__all__ = ["MeasurementError", "isolated"]

P = ParamSpec("P")
T = TypeVar("T")


class MeasurementError(Exception):
    """A measurement is impossible; the message is the reason."""


def isolated(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call a function of a module in a new process, and return what it returns.

    Raises:
        MeasurementError: If it raises an error, or its process ends.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args, **options).result()
        except BrokenProcessPool:
            raise MeasurementError("the process of the measurement crashed") from None
        except MeasurementError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever its class, it is the reason
            raise MeasurementError(f"{type(error).__name__}: {error}") from None
