"""Scale gray pixels of TIFF files to 16 bits, with black as 0: Pillow decodes more than 8 bits as they are stored."""

from __future__ import annotations

import numpy as np
from PIL import Image, TiffImagePlugin

from camserve.pixels import SIXTEEN_BIT_MODES

__all__ = ["of_full_depth"]

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_STORED = 16
_WHITE_IS_ZERO = 0


def of_full_depth(image: Image.Image) -> Image.Image:
    """Scale the pixels of a TIFF file with 9 to 15 bits per sample, and invert those of 16 bits that store white as 0.

    OpenCV does so too. Otherwise the brightest pixel of 12 bits would have 1/16 of the value of white, and a file that
    stores white as 0, such as a radiograph, would be a negative. Other images are returned unchanged.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.mode not in SIXTEEN_BIT_MODES[:-1]:
        return image
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (_STORED,))[0]
    inverted = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    if bits == _STORED and not inverted:
        return image
    pixels = np.asarray(image) << np.uint16(_STORED - bits)
    return Image.fromarray(~pixels if inverted else pixels)
