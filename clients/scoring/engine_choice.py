"""Open the engine that scores many images: threads of this process, or worker processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec

from camserve.argument_checks import check_whole
from camserve.choices import ENGINES, EngineName
from camserve.clients.scoring.answerer import AnswererOptions
from camserve.clients.scoring.engine import Engine, ThreadEngine, check_concurrency
from camserve.clients.scoring.patience import OutageReport, Patience, check_patience
from camserve.clients.scoring.process_engine import ProcessEngine
from camserve.clients.scoring.row_maps import check_maps
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.cores import host_cores
from camserve.errors import UsageError
from camserve.extras import install_command

__all__ = ["check_engine", "check_workers", "open_engine"]

_log = logging.getLogger("camserve.clients")

_FEWEST_THREADS, _MOST_THREADS = 4, 16
"""Requests in progress of this process without worker processes, which are 2 for each core."""

_THREADS_OF_WORKER = 2
"""Requests in progress of each worker process: it decodes images for one while it waits for the answer to the other."""

_FEW = 2_000
"""Number of images below which no worker processes are started by default: the threads of this process decode about as
fast on two cores, and a worker needs half a second of a core to start."""


@contextmanager
def open_engine(
    answerer_options: AnswererOptions,
    row_options: RowOptions,
    *,
    workers: int | None = None,
    concurrency: int | None = None,
    patience: float = 300.0,
    total: int | None = None,
    engine: EngineName = "local",
    ray_address: str | None = None,
    report: Callable[[str], None] = _log.warning,
) -> Iterator[Engine]:
    """Connect to the server or load the bundle, and yield the engine for one iteration of `rows`.

    Args:
        answerer_options: What classifies the images.
        row_options: What rows contain.
        workers: Number of worker processes, 0 for none (default: as many as cores for a server, if there are many
            images; none for a bundle, whose computation uses all cores in one process).
        concurrency: Number of requests in progress in total (default: 2 for each worker process; without, 2 for
            each core, from 4 to 16; for a bundle the number of cores, in one process or several).
        patience: Seconds to wait for a server that stops to answer, once it has answered; 0 to fail at once.
        total: Number of images, if it is known.
        engine: `local` for processes of this host, or `ray` for those of a Ray cluster.
        ray_address: Address of the cluster (default: Ray is started on this host).
        report: Receives what the user should know, such as a server that does not reply.

    Raises:
        CamserveError: If an option is invalid, the server does not reply, the bundle cannot be loaded, or rows need
            maps and the model has none.
    """
    check_workers(workers)
    check_patience(patience)
    check_engine(engine, ray_address)
    if concurrency is not None:
        check_concurrency(concurrency)
    if isinstance(answerer_options, ServedOptions) and patience:
        answerer_options = answerer_options.with_few_retries()
    if engine == "ray":
        if workers == 0:
            raise UsageError("the engine ray requires worker processes, got 0", hint="Leave out --workers 0")
        from camserve.clients.scoring.cluster.ray_engine import open_ray_engine  # noqa: PLC0415  (an extra)

        with open_ray_engine(
            answerer_options,
            row_options,
            address=ray_address,
            workers=workers,
            concurrency=concurrency,
            patience=patience,
            report=report,
        ) as opened:
            yield opened
        return
    served = isinstance(answerer_options, ServedOptions)
    number = _default_workers(served=served, total=total) if workers is None else workers
    with closing(answerer_options.open()) as answerer:
        check_maps(row_options, answerer)
        if number == 0:
            threads = concurrency or _default_threads(served=served)
            bridge = Patience(patience, OutageReport(report, patience))
            yield ThreadEngine(answerer, row_options, concurrency=threads, patience=bridge)
            return
        if concurrency is not None:
            number = min(number, concurrency)
        yield ProcessEngine(
            answerer_options.for_workers(answerer.model),
            row_options,
            answerer,
            workers=number,
            threads=_threads_of_worker(number, served=served) if concurrency is None else concurrency // number,
            patience=patience,
            report=report,
        )


def check_engine(engine: EngineName, ray_address: str | None) -> None:
    """Check an engine.

    Raises:
        UsageError: If it is unknown or not installed, or another one has the address of a Ray cluster.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}; there are: {', '.join(ENGINES)}", hint="Pass one of them")
    if ray_address is not None and engine != "ray":
        raise UsageError("--ray-address requires --engine ray", hint="Add --engine ray, or leave out --ray-address")
    if engine == "ray" and find_spec("ray") is None:
        raise UsageError(
            "the engine ray requires Ray Data, which is not installed", hint=f"Install it: {install_command('ray')}"
        )


def check_workers(workers: int | None) -> None:
    """Check a number of worker processes.

    Raises:
        UsageError: If it is not a whole number of at least 0.
    """
    if workers is not None:
        check_whole("workers", workers)
        if workers < 0:
            raise UsageError(f"workers must be at least 0, got {workers}", hint="Pass 0 to use no worker processes")


def _default_workers(*, served: bool, total: int | None) -> int:
    cores = host_cores()
    return cores if served and cores > 1 and (total is None or total >= _FEW) else 0


def _threads_of_worker(workers: int, *, served: bool) -> int:
    return _THREADS_OF_WORKER if served else max(1, host_cores() // workers)


def _default_threads(*, served: bool) -> int:
    cores = host_cores()
    return max(_FEWEST_THREADS, min(_MOST_THREADS, 2 * cores)) if served else cores
