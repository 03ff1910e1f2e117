"""Images in, tensors out: decode image files safely, fit them to a network's input and preprocess them.

Export, calibration and clients share this package, so that one file gives them the same pixels.

Example:
    tensor = prepare(load_image("cat.jpg"), contract)  # [height, width, channels]
"""

from typing import TYPE_CHECKING

from camserve.lazy import lazy_exports

if TYPE_CHECKING:
    from camserve.images.crops import Crops
    from camserve.images.decode_options import DecodeOptions
    from camserve.images.loading import ImageInput, load_image
    from camserve.images.pixel_arrays import Pixels
    from camserve.images.placement import Placement
    from camserve.images.preprocess import prepare
else:
    __getattr__, __dir__ = lazy_exports(__name__)

__all__ = [
    "Crops",
    "DecodeOptions",
    "ImageInput",
    "Pixels",
    "Placement",
    "load_image",
    "prepare",
]
