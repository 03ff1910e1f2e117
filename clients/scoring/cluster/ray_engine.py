"""Score items on Ray Data, in order, with a limited number of items in the cluster at once."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from uuid import uuid4

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.answerer import Answerer, AnswererOptions
from camserve.clients.scoring.bottleneck import Bottleneck
from camserve.clients.scoring.chunks import chunk_limit, chunks
from camserve.clients.scoring.cluster.process_scorer import ProcessScorer
from camserve.clients.scoring.cluster.ray_outages import TaskOutages, outages_of_tasks
from camserve.clients.scoring.cluster.ray_session import first_sentence, ray_session
from camserve.clients.scoring.cluster.ray_tasks import Task, TaskResult, divided, score_block
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.patience import OutageReport
from camserve.clients.scoring.row_maps import check_maps
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.clients.scoring.stage_times import StageTimes
from camserve.errors import CamserveError, ClientError
from camserve.text import printable

__all__ = ["RayEngine", "open_ray_engine"]

_log = logging.getLogger("camserve.clients")

_LEAST_TASKS = 64
_TASKS_PER_CPU = 8
_THREADS = 2
_RETRIES = 3
"""Attempts after the process of a task died; by default Ray Data repeats a task forever that kills its process."""

_EXCEPTION = re.compile(r"^[\w.]+(?:Error|Exception): .+$", re.MULTILINE)


class RayEngine:
    """Scores chunks of items by tasks of Ray.

    Ray Data requires all inputs of a data set at its start, so that a run is a series of data sets, each with a limited
    number of tasks.

    Args:
        ray: The module, connected to a cluster.
        scorer: What each process of Ray scores with.
        answerer: What was opened in this process, to know the model and the server's statistics.
        outages: Is told of outages in tasks.
        workers: Number of tasks at once (default: as many as Ray has cores).

    Attributes:
        stages: The time that the stages took so far.
    """

    def __init__(
        self,
        ray: ModuleType,
        scorer: ProcessScorer,
        answerer: Answerer,
        outages: TaskOutages,
        *,
        workers: int | None = None,
    ) -> None:
        self._ray = ray
        self._scorer = scorer
        self._outages = outages
        self._workers = workers
        self._node = ray.get_runtime_context().get_node_id()
        self._answerer = answerer
        self._bottleneck = Bottleneck(answerer)
        self.stages = StageTimes()

    @property
    def model(self) -> Model:
        """The model that answered when the run began."""
        return self._answerer.model

    def limited_by(self) -> str | None:
        """Return what limits the run; see `Bottleneck.find`."""
        return self._bottleneck.find(self.stages)

    def rows(self, items: Iterable[Item]) -> Generator[ScoredRow, None, None]:
        """Yield a row for each item, in order.

        Raises:
            CamserveError: If an error affects every image.
        """
        tasks = divided(chunks(items, chunk_limit(self.model, self._scorer.options)))
        while several := list(islice(tasks, self._tasks_at_once())):
            yield from self._rows(several)

    def _tasks_at_once(self) -> int:
        return max(_LEAST_TASKS, _TASKS_PER_CPU * _cores(self._ray))

    def _rows(self, tasks: Sequence[Task]) -> Iterator[ScoredRow]:
        """Yield the rows of some tasks."""
        with closing(self._results(tasks)) as results:
            for task, result in zip(tasks, results, strict=True):
                self.stages += result.times
                yield from self._checked(task, result)
                if result.error is not None:
                    raise result.error

    def _results(self, tasks: Sequence[Task]) -> Generator[TaskResult, None, None]:
        """Let Ray Data score some tasks, and yield what they return, in order."""
        import pyarrow  # noqa: PLC0415  (required by Ray Data)

        data = self._ray.data
        blocks = [pyarrow.table({"task": [pickle.dumps(task)]}) for task in tasks]
        with _failures_explained(self._ray), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the name of an option will change
            scored = data.from_arrow(blocks).map_batches(
                score_block,
                fn_kwargs={"scorer": self._scorer, "outages": self._outages, "folder": str(Path.cwd())},
                batch_size=None,
                batch_format="pyarrow",
                compute=data.TaskPoolStrategy(self._workers),
                num_cpus=1,
                max_retries=_RETRIES,
            )
        with _failures_explained(self._ray):
            for block in scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for cell in block.column("result"):
                    yield pickle.loads(cell.as_py())  # noqa: S301  (of a task that this process started)

    def _checked(self, task: Task, result: TaskResult) -> Iterator[ScoredRow]:
        """Yield the rows of a task, of the items whose images its host can read."""
        for item, row in zip((item for chunk in task for item in chunk), result.rows, strict=False):
            if row is None and item.recorded is not None:
                yield item.recorded
            elif row is not None:
                if row.error is not None and row.sha256 is None and result.node != self._node:
                    _check_unreadable(item, row.error, self._scorer.options.decode_options.max_bytes)
                yield row


@contextmanager
def open_ray_engine(
    answerer_options: AnswererOptions,
    row_options: RowOptions,
    *,
    address: str | None = None,
    workers: int | None = None,
    concurrency: int | None = None,
    patience: float = 300.0,
    report: Callable[[str], None] = _log.warning,
) -> Iterator[RayEngine]:
    """Connect to the server, or load the bundle, and to Ray, and yield the engine.

    Args:
        answerer_options: What classifies the images.
        row_options: What rows contain.
        address: Address of a Ray cluster (default: Ray is started on this host, and ends with the block).
        workers: Number of processes that score at once (default: as many as Ray has cores).
        concurrency: Number of requests in progress in total (default: 2 for each process, 1 with a bundle).
        patience: Seconds to wait for a server that stops to answer, once it has answered; 0 to fail at once.
        report: Receives what the user should know, such as a server that does not reply.

    Raises:
        CamserveError: If the server does not reply, the bundle cannot be loaded, rows need maps and the model has none,
            or Ray cannot be used.
    """
    with closing(answerer_options.open()) as answerer:
        check_maps(row_options, answerer)
        for_workers = answerer_options.for_workers(answerer.model)
        threads = _THREADS if isinstance(answerer_options, ServedOptions) else 1  # computes on the core of its process
        scorer = ProcessScorer(for_workers, row_options, patience, threads, run=uuid4().hex)
        scorer.check_can_be_sent()
        with ray_session(address, report) as ray, outages_of_tasks(ray, OutageReport(report, patience)) as outages:
            if concurrency is not None:
                workers = min(workers or _cores(ray), concurrency)
                scorer = replace(scorer, threads=concurrency // workers)
            yield RayEngine(ray, scorer, answerer, outages, workers=workers)


def _cores(ray: ModuleType) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _check_unreadable(item: Item, error: str, max_bytes: int) -> None:
    """Check that an image that another host could not read cannot be read here, either.

    Raises:
        ClientError: If it can.
    """
    try:
        item.source.read(max_bytes)
    except CamserveError:
        return
    raise ClientError(
        f"{printable(item.path)} can be read on this host but not on another one of the Ray cluster: {error}",
        hint="Store the images where all hosts of the cluster have them under the same path, or pass their URLs",
    )


@contextmanager
def _failures_explained(ray: ModuleType) -> Iterator[None]:
    """Raise failures of Ray itself as errors of one line."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise ClientError(
            f"Ray could not score the images: {_reason(str(error))}",
            hint="Check that all hosts of the cluster have this version of camserve, and enough memory",
        ) from None


def _reason(report: str) -> str:
    """Return the exception that a report of Ray contains, or how the report begins."""
    found = [line for line in _EXCEPTION.findall(report) if not line.startswith("ray.")]
    return found[0] if found else first_sentence(report)
