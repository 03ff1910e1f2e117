"""What rows contain, and how images are read for them."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.argument_checks import check_type
from camserve.clients.answers.query import ClassifyRequest
from camserve.errors import UsageError
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

    Raises:
        UsageError: If a value is invalid, or maps are requested of an average over crops.
    """

    top: int = 5
    crops: Crops | None = None
    all_probabilities: bool = False
    maps: bool = False
    overlay_folder: str | None = None
    decode_options: DecodeOptions = AS_KERAS

    def __post_init__(self) -> None:
        check_type("decode_options", self.decode_options, DecodeOptions, "DecodeOptions()")
        ClassifyRequest(top=self.top, crops=self.crops)  # checks them
        if self.needs_maps and self.crops is not None and self.crops.choose == "average":
            raise UsageError(
                "the average of crops has no map, as each crop shows another part of the image",
                hint='Pass Crops(choose="highest"), or leave out maps and overlays',
            )

    @property
    def needs_maps(self) -> bool:
        """Whether maps must be requested for the rows."""
        return self.maps or self.overlay_folder is not None
