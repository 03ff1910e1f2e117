"""Classify many files, and return one row per file in order, with a limited number of concurrent requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from camserve.argument_checks import check_type
from camserve.clients.classifier import Classifier
from camserve.clients.scoring.engine import ThreadEngine, check_concurrency
from camserve.clients.scoring.inputs import check_several
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.overlay_folder import make_overlay_folder
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.served_answerer import ServedAnswerer
from camserve.images.crops import Crops

__all__ = ["score"]


def score(
    classifier: Classifier,
    inputs: Iterable[str | Path | Item],
    *,
    top: int = 5,
    concurrency: int = 8,
    crops: Crops | None = None,
    all_probabilities: bool = False,
    maps: bool = False,
    overlays: str | Path | None = None,
) -> Iterator[ScoredRow]:
    """Classify files and yield one row per file, in the order of `inputs`; `find_images` and `find_items` list them.

    A file that cannot be decoded, and an image that the server refuses while it serves the model, get a row with the
    error. Errors that concern every file end the iteration: the server is unreachable, does not reply in time or no
    longer serves the model, or a reply violates the contract. `inputs` is consumed as rows are yielded, and may be of
    any length.

    Args:
        classifier: The classifier; its `decode_options` determine how files are decoded, and their limits.
        inputs: The files, or the items that `find_items` finds in tables, archives and under URLs.
        top: Number of classes in each row.
        concurrency: Number of requests in progress at once. Once many images are done, a request has as many as the
            model takes, at most 64.
        crops: Crops of each image to classify instead of the whole.
        all_probabilities: Whether rows contain the probabilities of all classes, for `write_table(..., classes=)`.
        maps: Whether rows contain the map of the best class, for `write_table(..., maps=True)`.
        overlays: Folder in which the map of each image is written over it, as a PNG file named after the image.

    Raises:
        ConnectionFailedError: If the server is unreachable.
        DeadlineError: If the server does not reply in time.
        RequestError: If the server no longer serves the model.
        ClientError: If an overlay cannot be written.
        ContractError: If a reply does not match the contract.
        UsageError: If `classifier` is not a `Classifier`, a single path is passed, `top` or `concurrency` is less than
            1, the folder of overlays cannot be created, or maps are requested of a model without or of an average over
            crops.
    """
    check_type("classifier", classifier, Classifier, "a Classifier")
    check_several(inputs)
    check_concurrency(concurrency)
    options = RowOptions(
        top=top,
        crops=crops,
        all_probabilities=all_probabilities,
        maps=maps,
        overlay_folder=None if overlays is None else str(overlays),
        decode_options=classifier.decode_options,
    )
    if overlays is not None:
        make_overlay_folder(overlays)
    return _rows(classifier, inputs, options, concurrency)


def _rows(
    classifier: Classifier, inputs: Iterable[str | Path | Item], options: RowOptions, concurrency: int
) -> Iterator[ScoredRow]:
    engine = ThreadEngine(ServedAnswerer(classifier), options, concurrency=concurrency)
    yield from engine.rows(each if isinstance(each, Item) else item_of_file(each) for each in inputs)
