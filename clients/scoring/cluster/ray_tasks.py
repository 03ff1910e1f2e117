"""The tasks of the engine on Ray: some chunks of items, scored in a process of Ray."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from camserve.clients.scoring.cluster.process_scorer import ProcessScorer
from camserve.clients.scoring.cluster.ray_outages import TaskOutages
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.stage_times import StageTimes
from camserve.errors import CamserveError

__all__ = ["Task", "TaskResult", "divided", "score_block"]

_CHUNKS_PER_TASK = 4

Task = list[list[Item]]
"""The chunks of items that one task of Ray scores."""


@dataclass(frozen=True)
class TaskResult:
    """What a task returns.

    Attributes:
        rows: A row for each item, in order, up to the error; None if its recorded row is the result.
        times: The time that it took.
        error: An error that affects every image.
        node: The node of Ray that scored it.
    """

    rows: list[ScoredRow | None]
    times: StageTimes
    error: CamserveError | None
    node: str


def divided(several: Iterable[list[Item]]) -> Iterator[Task]:
    """Divide chunks into tasks."""
    remaining = iter(several)
    while task := list(islice(remaining, _CHUNKS_PER_TASK)):
        yield task


def score_block(block: Any, scorer: ProcessScorer, outages: TaskOutages, folder: str) -> Any:
    """Score the task in a block of one row, in a process of Ray."""
    import pyarrow  # noqa: PLC0415
    import ray  # noqa: PLC0415

    with suppress(OSError):  # a host without it reports the images that it cannot read
        os.chdir(folder)
    node = ray.get_runtime_context().get_node_id()
    tasks = [pickle.loads(cell.as_py()) for cell in block.column("task")]  # noqa: S301  (of the coordinator)
    results = [_score_task(task, scorer, outages, node) for task in tasks]
    return pyarrow.table({"result": [pickle.dumps(result) for result in results]})


def _score_task(task: Task, scorer: ProcessScorer, outages: TaskOutages, node: str) -> TaskResult:
    rows: list[ScoredRow | None] = []
    times = StageTimes()
    try:
        for chunk, scored in zip(task, scorer.score(task, outages), strict=True):
            rows += [None if row is item.recorded else row for item, row in zip(chunk, scored.rows, strict=True)]
            times += scored.times
    except CamserveError as error:
        return TaskResult(rows, times, error, node)
    return TaskResult(rows, times, None, node)
