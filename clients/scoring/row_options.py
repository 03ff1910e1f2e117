"""What rows contain, and how images are read for them."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.images.crops import Crops
from camserve.images.decode_options import AS_KERAS, DecodeOptions

__all__ = ["RowOptions"]


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """What rows contain, and how images are read for them. It can be pickled.

    Attributes:
        top: Number of classes in each row.
        crops: Crops of each image to classify instead of the whole.
        all_probabilities: Whether rows contain the probabilities of all classes.
        maps: Whether rows contain the map of the best class.
        overlay_folder: Folder in which the map of each image is written over it, as a PNG file; None for none.
        decode_options: How images are decoded, and their limits.
    """

    top: int = 5
    crops: Crops | None = None
    all_probabilities: bool = False
    maps: bool = False
    overlay_folder: str | None = None
    decode_options: DecodeOptions = AS_KERAS
