"""Write the page of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camserve.atomic import replace_file
from camserve.clients.evaluation.page.checks import DEFAULT_IMAGES, OTHER_PAGE, check_page
from camserve.clients.evaluation.page.details import read_details
from camserve.clients.evaluation.page.document import render_page
from camserve.clients.evaluation.page.row_items import items_of_rows
from camserve.clients.evaluation.page.rows import PageRow
from camserve.clients.evaluation.page.selection import choose_rows
from camserve.clients.evaluation.page.thumbnails import Thumbnail, draw_map, read_thumbnails
from camserve.clients.evaluation.results import Evaluation
from camserve.errors import UsageError
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.text import count, printable, reason

__all__ = ["PageSummary", "write_page"]


@dataclass(frozen=True)
class PageSummary:
    """What a page contains.

    Attributes:
        path: The page.
        bytes: Its size.
        rows: Number of rows that it shows.
        total: Number of rows of the table.
        missing: Number of shown rows with an answer whose image could not be read.
        first_missing: Why the first of them could not; None without any.
        maps: Number of shown rows with their map.
        misplaced: Number of shown rows whose map is not drawn, as its area is not inside the image.
    """

    path: str
    bytes: int
    rows: int
    total: int
    missing: int
    first_missing: str | None
    maps: int
    misplaced: int


def write_page(
    evaluation: Evaluation,
    path: str | Path,
    *,
    images: int = DEFAULT_IMAGES,
    images_from: str | Path | None = None,
    decode_options: DecodeOptions = AS_KERAS,
    progress: Callable[[Iterable[Thumbnail]], Iterable[Thumbnail]] = iter,
) -> PageSummary:
    """Write an evaluation as one HTML page: metrics, and images that can be filtered by class, answer and probability.

    The page needs no network and contains everything: small copies of the images, and their maps if the table has them.
    It replaces an existing file when it is complete. Images that cannot be read are named in the page.

    Args:
        evaluation: The evaluation; its table must still exist.
        path: The page, a .html file.
        images: The most rows to show. Of more rows, half are the worst mistakes, a tenth rows without an answer or true
            label, and the others correct answers of each class; the same ones each time.
        images_from: The folder where relative paths of the table start (default: the current folder).
        decode_options: How image files are decoded; as when the table was written.
        progress: Called with the iterable of the images, and returns it, to report progress.

    Raises:
        UsageError: If an argument is invalid, the table was changed, or the page cannot be written.
    """
    page = check_page(path, images, images_from)
    chosen = choose_rows(evaluation, images)
    details = read_details(evaluation, chosen)
    folder = None if images_from is None else Path(images_from)
    items = items_of_rows([each.path for each in details], folder)
    thumbnails = read_thumbnails(items, decode_options, progress)
    rows = [_with_map(PageRow(*each)) for each in zip(details, thumbnails, strict=True)]
    content = render_page(evaluation, rows, _scope(rows, evaluation)).encode()
    _write(page, content)
    problems = [
        row.thumbnail.problem for row in rows if row.thumbnail.problem is not None and row.details.error is None
    ]
    maps, drawn = sum(row.map is not None for row in rows), sum(row.overlay is not None for row in rows)
    return PageSummary(
        path=str(page),
        bytes=len(content),
        rows=len(rows),
        total=evaluation.rows,
        missing=len(problems),
        first_missing=problems[0] if problems else None,
        maps=drawn,
        misplaced=maps - drawn,
    )


def _with_map(row: PageRow) -> PageRow:
    """Add the drawing of the map, if its area is inside the image."""
    if row.map is None or not row.map.is_inside(row.thumbnail.size):
        return row
    left, top, right, bottom = row.map.area
    return replace(row, overlay=draw_map(row.map.grid, (right - left, bottom - top)))


def _write(page: Path, content: bytes) -> None:
    try:
        with replace_file(page) as replacement:
            replacement.stream.write(content)
    except OSError as error:
        raise UsageError(f"cannot write {printable(page)}: {reason(error, page)}", hint=OTHER_PAGE) from None


def _scope(rows: Sequence[PageRow], evaluation: Evaluation) -> str:
    if len(rows) == evaluation.rows:
        return f"This page contains all {count(len(rows), 'row')} of the table."
    return (
        f"This page contains {len(rows):,} of {count(evaluation.rows, 'row')}: the worst mistakes, some rows with an "
        "error or without a true label, and a sample of the correct answers of each class. --html-images N shows more."
    )
