"""The options of `classify` and `score` that determine how images are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.images.limits import MAX_BYTES, MAX_PIXELS

if TYPE_CHECKING:
    from camserve.clients import Crops

__all__ = ["MAX_BYTES", "MAX_PIXELS", "CropCount", "Exif", "FastJpeg", "MaxBytes", "MaxPixels", "crops_of"]


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Images", **settings)


Exif = Annotated[
    bool,
    _option(
        "--exif",
        help="Apply the EXIF orientation of photos. Without it images are read as Keras's load_img reads them, which "
        "is how most models were trained.",
    ),
]
FastJpeg = Annotated[
    bool,
    _option(
        "--fast-jpeg",
        help="Decode JPEG files as TensorFlow does by default, for models trained with tf.io.decode_jpeg or "
        "image_dataset_from_directory.",
    ),
]
CropCount = Annotated[
    int | None,
    _option(
        "--crops",
        min=1,
        metavar="N",
        help="Classify the center and N - 1 random crops of each image, at the input size of the model and without "
        "resizing, and return the answer with the highest probability. For models that detect pixel noise.",
        show_default=False,
    ),
]
MaxPixels = Annotated[
    int,
    _option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Refuse images with more pixels, before they are decoded. Raise it only for images from a source that you "
        "trust.",
    ),
]
MaxBytes = Annotated[
    int, _option("--max-bytes", min=1, metavar="N", help="Refuse files with more bytes, before they are read.")
]


def crops_of(count: int | None) -> Crops | None:
    """Return the crops of `--crops`; None classifies whole images."""
    from camserve.clients import Crops

    return None if count is None else Crops(count=count)
