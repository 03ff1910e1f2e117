"""Which part of an image its map describes; a table does not tell, but where the map is highest."""

from __future__ import annotations

from collections.abc import Sequence

from camserve.clients.answers.activation_map import peak_position
from camserve.clients.scoring.rows import RowMap
from camserve.images.placement import Box

__all__ = ["place_maps"]

Size = tuple[int, int]


def place_maps(maps: Sequence[tuple[RowMap, Size]]) -> list[Box | None]:
    """Return the part of each image that its map describes: left, top, right, bottom in pixels.

    Of the whole image and its largest central part of the map's shape, it is the one that gives more maps of the table
    their peak. A map whose peak it does not give has None: it was made from another part of the image, such as a crop,
    or the image is another one.

    Args:
        maps: Each map, and width and height of its image.
    """
    placed = [[_matching(box_of(size, row_map), row_map) for row_map, size in maps] for box_of in (_whole, _central)]
    return max(placed, key=lambda boxes: sum(box is not None for box in boxes))


def _matching(box: Box | None, row_map: RowMap) -> Box | None:
    return box if box is not None and peak_position(row_map.grid, box) == row_map.peak else None


def _whole(size: Size, row_map: RowMap) -> Box:  # noqa: ARG001
    return (0, 0, *size)


def _central(size: Size, row_map: RowMap) -> Box | None:
    rows, columns = row_map.grid.shape
    width, height = min(size[0], size[1] * columns // rows), min(size[1], size[0] * rows // columns)
    if not width or not height:
        return None
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return (left, top, left + width, top + height)
