"""Rows of a run that goes on where another one was interrupted: those recorded, and those scored and recorded now."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.record import Record
from camserve.clients.scoring.rows import ScoredRow

__all__ = ["RecordedRows"]


class RecordedRows:
    """Attaches recorded rows to the items of an engine, and records the rows that it returns, which are in order.

    Args:
        record: The record.
        model: The model that answers at the start.

    Attributes:
        kept: Number of rows that were taken from the record instead of being scored.
        other_versions: Number of recorded rows of each version that is not the one that answers, and whose images are
            scored again.
    """

    def __init__(self, record: Record, model: Model) -> None:
        self._record = record
        self._origin = (model.name, model.version)
        self._pending: deque[ScoredRow | None] = deque()
        self.kept = 0
        self.other_versions: Counter[str] = Counter()

    def items(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, with their recorded rows if those count."""
        for item in items:
            found = self._record.find(item.path, item.id)
            self._pending.append(found)
            yield item if found is None or not self._counts(found) else item.with_record(found)

    def rows(self, rows: Iterable[ScoredRow]) -> Iterator[ScoredRow]:
        """Yield the rows of the items, and record those that are new.

        Raises:
            ClientError: If a row cannot be recorded.
        """
        for row in rows:
            found = self._pending.popleft()
            if row is found:
                self.kept += 1
            elif row != found:
                self._record.append(row, replaces=found is not None)
            yield row

    def _counts(self, found: ScoredRow) -> bool:
        """Return whether a row stays if its image has the same checksum: errors are tried again."""
        if found.error is not None:
            return False
        if (found.model, found.version) == self._origin:
            return True
        self.other_versions[str(found.version)] += 1
        return False
