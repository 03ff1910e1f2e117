"""Compare the pixels that camserve, TensorFlow and OpenCV decode from image files of several kinds.

Usage: python benchmarks/decoders.py

The photo is scikit-learn's `china.jpg`. Each cell is the largest and the mean difference of the 8-bit RGB pixels from
those that camserve decodes; TensorFlow decodes JPEG with its default, a fast approximate DCT, and with
`dct_method="INTEGER_ACCURATE"`.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.contract import Preprocessing
from camserve.images import DecodeOptions, load_image
from camserve.images.colors import to_colors_of

Array = np.ndarray[Any, Any]


def main() -> None:
    """Print a row for each kind of file."""
    print("| file | TensorFlow | with INTEGER_ACCURATE | OpenCV | OpenCV, camserve with `--exif` |")
    print("|---|---|---|---|---|")
    for name, data in files().items():
        pixels, rotated = with_camserve(data), with_camserve(data, DecodeOptions(exif=True))
        decoded = (with_tensorflow(data), with_tensorflow(data, accurate=True), with_opencv(data))
        cells = [difference(pixels, other) for other in decoded] + [difference(rotated, decoded[2])]
        print(f"| {name} | {' | '.join(cells)} |")


def with_camserve(data: bytes, options: DecodeOptions = DecodeOptions()) -> Array:  # noqa: B008  (immutable)
    """Decode RGB pixels as clients do."""
    return np.asarray(to_colors_of(Preprocessing(), load_image(data, options)))


def with_tensorflow(data: bytes, *, accurate: bool = False) -> Array | None:
    """Decode RGB pixels with TensorFlow; None if it cannot, or if the option is one of JPEG only."""
    is_jpeg = data.startswith(b"\xff\xd8")
    if accurate and not is_jpeg:
        return None
    try:
        if accurate:
            return np.asarray(tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"))
        return np.asarray(tf.io.decode_image(data, channels=3, expand_animations=False))
    except tf.errors.InvalidArgumentError:
        return None


def with_opencv(data: bytes) -> Array | None:
    """Decode RGB pixels with OpenCV; None if it cannot."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if decoded is None else decoded[:, :, ::-1]


def difference(pixels: Array, other: Array | None) -> str:
    """Return the largest and the mean difference as text."""
    if other is None:
        return "–"
    if pixels.shape != other.shape:
        return f"{other.shape[1]} x {other.shape[0]} pixels"
    differences = np.abs(pixels.astype(np.int32) - other)
    return f"{differences.max()}, {differences.mean():.2f}" if differences.any() else "equal"


def files() -> dict[str, bytes]:
    """Return the photo in each kind of file."""
    photo = Image.fromarray(load_sample_image("china.jpg"))
    transparent = photo.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(photo.size))
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = photo.quantize(200)
    sixteen = np.asarray(photo).astype(np.uint16) * 257 + 90
    deep = cv2.imencode(".png", sixteen[:, :, ::-1])[1].tobytes()
    return {
        "JPEG 4:4:4, quality 95": encoded(photo, "JPEG", quality=95, subsampling=0),
        "JPEG 4:2:2, quality 90": encoded(photo, "JPEG", quality=90, subsampling=1),
        "JPEG 4:2:0, quality 90": encoded(photo, "JPEG", quality=90, subsampling=2),
        "JPEG 4:2:0, quality 50": encoded(photo, "JPEG", quality=50, subsampling=2),
        "JPEG, progressive": encoded(photo, "JPEG", quality=90, progressive=True),
        "JPEG, EXIF orientation 6": encoded(photo, "JPEG", quality=90, exif=exif),
        "JPEG, gray": encoded(photo.convert("L"), "JPEG", quality=90),
        "JPEG, CMYK": encoded(photo.convert("CMYK"), "JPEG", quality=90),
        "PNG": encoded(photo, "PNG"),
        "PNG, gray": encoded(photo.convert("L"), "PNG"),
        "PNG, black and white": encoded(photo.convert("1"), "PNG"),
        "PNG with alpha": encoded(transparent, "PNG"),
        "PNG, gray with alpha": encoded(transparent.convert("LA"), "PNG"),
        "PNG with a palette": encoded(palette, "PNG"),
        "PNG with a transparent color": encoded(palette, "PNG", transparency=3),
        "PNG, 16-bit color": deep,
        "PNG, 16-bit gray": encoded(Image.fromarray(sixteen[:, :, 0]), "PNG"),
        "GIF": encoded(palette, "GIF"),
        "BMP": encoded(photo, "BMP"),
        "BMP, gray": encoded(photo.convert("L"), "BMP"),
        "WebP": encoded(photo, "WEBP", quality=90),
        "TIFF": encoded(photo, "TIFF"),
    }


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    stream = BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


if __name__ == "__main__":
    main()
