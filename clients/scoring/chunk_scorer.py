"""Score a chunk of items: read, decode, send in one request if possible, make rows. The same for every engine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.scoring.answerer import Answerer
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.overlays import has_overlay, write_overlay
from camserve.clients.scoring.pace import Pace
from camserve.clients.scoring.patience import Patience
from camserve.clients.scoring.row_maps import check_maps, row_map
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.stage_times import StageTimes
from camserve.errors import CamserveError, DeadlineError, ImageError
from camserve.images.decoding_turns import TURNS
from camserve.images.loading import OpenedImage, open_image

__all__ = ["ChunkScorer", "ScoredChunk"]

_BATCH_FILE_BYTES = 32 * 1024 * 1024
"""Bytes of image files after which images are classified, although the chunk has more items."""


@dataclass(frozen=True)
class ScoredChunk:
    """The result for a chunk of items.

    Attributes:
        rows: One row per item, in order.
        times: The time that it took.
    """

    rows: list[ScoredRow]
    times: StageTimes


@dataclass(frozen=True)
class _Read:
    """An item with its bytes, and its place in the chunk."""

    place: int
    item: Item
    data: bytes


@dataclass(frozen=True)
class _Opened:
    """An image that was opened but not answered yet, and its place in the chunk."""

    place: int
    item: Item
    sha256: str
    image: OpenedImage


class ChunkScorer:
    """Scores chunks of items. May be called from several threads.

    Args:
        answerer: What classifies the images.
        options: What rows contain, and how images are read.
        patience: Waits for a server that restarts (default: an error is raised at once).

    Raises:
        UsageError: If rows need maps and the model has none.
    """

    def __init__(self, answerer: Answerer, options: RowOptions, patience: Patience | None = None) -> None:
        self._answerer = answerer
        self._options = options
        self._patience = patience or Patience(0)
        self._pace = Pace()
        check_maps(options, answerer)
        self._request = ClassifyRequest(
            top=options.top, cam=options.needs_maps, crops=options.crops, decode_options=options.decode_options
        )

    def __call__(self, items: Sequence[Item]) -> list[ScoredRow]:
        """Return a row for each item, in order.

        An item whose recorded row has the checksum of its bytes, no error, and its overlay, gets this row. An image
        that cannot be read or decoded, or is refused, gets a row with the error; no other row depends on it.

        Raises:
            CamserveError: If an error would affect every image, such as a server that does not reply.
        """
        return self.score(items).rows

    def score(self, items: Sequence[Item]) -> ScoredChunk:
        """Return the rows of `__call__`, and the time that each stage took."""
        began = time.perf_counter()
        rows: list[ScoredRow | None] = [None] * len(items)
        answering = StageTimes()
        waits: list[float] = []
        for batch in self._batches(items, rows, waits):
            answering += self._answer(batch, rows)
        answering += StageTimes(decode=sum(waits))  # while other threads decode
        read = time.perf_counter() - began - answering.decode - answering.answer
        return ScoredChunk([row for row in rows if row is not None], answering + StageTimes(read=read))

    def _answer(self, batch: Sequence[_Opened], rows: list[ScoredRow | None]) -> StageTimes:
        """Classify images, and put their rows in their places."""
        began = time.perf_counter()
        results: list[Classification | CamserveError] = []
        while left := [each.image for each in batch[len(results) :]]:
            results += self._patience.bridge(partial(self._classify, left))
        answered = time.perf_counter()
        times = StageTimes.of_results(results, answered - began)
        for each, result in zip(batch, results, strict=True):
            rows[each.place] = self._row(each, result)
        return times + StageTimes(decode=time.perf_counter() - answered)

    def _classify(self, images: Sequence[OpenedImage]) -> Sequence[Classification | CamserveError]:
        """Return the results for the first images, as many as the server answers in time."""
        images = images[: self._pace.most]
        began = time.perf_counter()
        try:
            results = self._answerer.classify(images, self._request)
        except DeadlineError:
            self._pace.record_timeout(len(images), time.perf_counter() - began)
            raise
        seconds = time.perf_counter() - began
        self._pace.record(len(images), StageTimes.of_results(results, seconds).answer)
        return results

    def _batches(
        self, items: Sequence[Item], rows: list[ScoredRow | None], waits: list[float]
    ) -> Iterator[list[_Opened]]:
        """Yield the images to classify, as many as memory allows; put the rows of all other items in their places."""
        for group in self._read(items, rows):
            with TURNS.turn() as waited:  # one for all, as each change of the thread costs cached pixels
                waits.append(waited)
                batch = [opened for each in group if (opened := self._open(each, rows)) is not None]
            if batch:
                yield batch

    def _read(self, items: Sequence[Item], rows: list[ScoredRow | None]) -> Iterator[list[_Read]]:
        """Yield items with their bytes, as many as memory allows; put the rows of unreadable ones in their places."""
        group: list[_Read] = []
        size = 0
        for place, item in enumerate(items):
            self._patience.check()
            try:
                data = item.source.read(self._options.decode_options.max_bytes)
            except ImageError as error:
                rows[place] = _row_of_error(item, None, error)
                continue
            if group and size + len(data) > _BATCH_FILE_BYTES:
                yield group
                group, size = [], 0
            group.append(_Read(place, item, data))
            size += len(data)
        if group:
            yield group

    def _open(self, read: _Read, rows: list[ScoredRow | None]) -> _Opened | None:
        """Return an image to classify, or put the row of an item that needs no answer in its place."""
        item = read.item
        sha256 = hashlib.sha256(read.data).hexdigest()
        if item.recorded is not None and self._is_done(item.recorded, sha256):
            rows[read.place] = item.recorded
            return None
        try:
            image = open_image(read.data, self._options.decode_options, name=item.path)
        except ImageError as error:
            rows[read.place] = _row_of_error(item, sha256, error)
            return None
        return _Opened(read.place, item, sha256, image)

    def _is_done(self, recorded: ScoredRow, sha256: str) -> bool:
        if recorded.error is not None or recorded.sha256 != sha256:
            return False
        return self._options.overlay_folder is None or has_overlay(recorded, self._options.overlay_folder)

    def _row(self, read: _Opened, result: Classification | CamserveError) -> ScoredRow:
        if isinstance(result, CamserveError):
            return _row_of_error(read.item, read.sha256, result)
        row = ScoredRow(
            read.item.path,
            result.top,
            model=result.model,
            version=result.version,
            # Copied, as they are a part of the reply, which a row must not keep.
            probabilities=result.probabilities.copy() if self._options.all_probabilities else None,
            id=read.item.id,
            sha256=read.sha256,
            map=row_map(result.cams[0]) if self._options.maps else None,
        )
        try:
            if self._options.overlay_folder is not None:
                write_overlay(result.cams[0], read.image.load(), row, self._options.overlay_folder)
        except ImageError as error:  # such as not enough memory for the drawing
            return _row_of_error(read.item, read.sha256, error)
        return row


def _row_of_error(item: Item, sha256: str | None, error: CamserveError) -> ScoredRow:
    return ScoredRow(item.path, error=" ".join(str(error).splitlines()), id=item.id, sha256=sha256)
