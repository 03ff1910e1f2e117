"""The maps of rows: whether a model has them, and what a row keeps of one."""

from __future__ import annotations

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.scoring.answerer import Answerer
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import RowMap
from camserve.errors import UsageError

__all__ = ["check_maps", "row_map"]


def check_maps(options: RowOptions, answerer: Answerer) -> None:
    """Check that the model has maps if rows need them, before any image is read.

    Raises:
        UsageError: If it has none.
    """
    if not options.needs_maps:
        return
    model = answerer.model
    if model.contract.cam is None:
        raise UsageError(
            f"model {model.name!r} has no maps",
            hint="Leave out --maps and --overlays, or export the model again without --no-cam",
        )


def row_map(cam: ActivationMap) -> RowMap:
    """Return what a row keeps of a map, without the image."""
    return RowMap(cam.peak, cam.bbox(), cam.grid, cam.placement.box)
