"""How an image becomes the network's input, and the presets by name."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from camserve.contract.fields import Divisor, Flag, Record, Subtrahend, invalid
from camserve.contract.float32 import Operation, lost_pixels
from camserve.text import count

__all__ = ["PRESETS", "ColorOrder", "Fit", "Operation", "Preprocessing", "ResizeFilter"]

ColorOrder = Literal["rgb", "bgr", "gray"]
ResizeFilter = Literal[
    "nearest",
    "bilinear",
    "bicubic",
    "lanczos",
    "box",
    "hamming",
    "tf-nearest",
    "tf-bilinear",
    "tf-bicubic",
    "tf-area",
    "cv2-nearest",
    "cv2-linear",
    "cv2-area",
]
Fit = Literal["stretch", "center-crop", "crop-only"]


class Preprocessing(Record):
    """How an image becomes the network's input.

    The image is fitted to the input's height and width, its channels are reordered to `color`, and each channel c
    becomes `(pixel / scale[c] - mean[c]) / std[c]`, computed in float32 in this order of operations, which is that of
    `keras.applications.imagenet_utils.preprocess_input`.

    Attributes:
        color: Channel order of the network's input.
        resize: Resize filter, of Pillow (`nearest`, the default of Keras's `load_img`, `bilinear`, ...), of TensorFlow
            without antialiasing (`tf-bilinear`, ..., as in `image_dataset_from_directory` and `tf.image.resize`), or
            of OpenCV (`cv2-linear`, ...).
        fit: `stretch` resizes without keeping the aspect ratio; `center-crop` first crops the center to the input's
            aspect ratio (Keras's `keep_aspect_ratio`); `crop-only` crops the center and does not resize.
        scale: Divisor per channel, in `color` order.
        mean: Subtracted after scaling, per channel, in `color` order.
        std: Divisor after subtraction, per channel, in `color` order.
        in_graph: The graph reorders the channels and does the arithmetic, if any; clients send unchanged RGB or gray
            pixels, as UINT8.
    """

    color: ColorOrder = "rgb"
    resize: ResizeFilter = "nearest"
    fit: Fit = "stretch"
    scale: tuple[Divisor, ...] = (1.0, 1.0, 1.0)
    mean: tuple[Subtrahend, ...] = (0.0, 0.0, 0.0)
    std: tuple[Divisor, ...] = (1.0, 1.0, 1.0)
    in_graph: Flag = False

    @model_validator(mode="after")
    def _keeps_every_pixel(self) -> Preprocessing:
        for name, operands in (("scale", self.scale), ("mean", self.mean), ("std", self.std)):
            if len(operands) != self.channels:
                raise invalid(
                    f"must have {count(self.channels, 'value')} in {name} for color {self.color}, got {len(operands)}"
                )
        for channel, (scale, mean, std) in enumerate(zip(self.scale, self.mean, self.std, strict=True)):
            lost = lost_pixels((("divide", scale), ("subtract", mean), ("divide", std)))
            if lost is not None:
                raise invalid(
                    f"must keep all pixels finite and distinct in float32, but scale {scale:g}, mean {mean:g} and "
                    f"std {std:g} make them {lost} in channel {channel}"
                )
        if self.in_graph and self.gives_fractions:
            raise invalid(f"resize {self.resize} gives fractions, but the graph takes whole pixels")
        return self

    @property
    def channels(self) -> int:
        """Number of channels: 1 for gray, else 3."""
        return 1 if self.color == "gray" else 3

    @property
    def gives_fractions(self) -> bool:
        """Whether resized pixels have fractions, as TensorFlow's do."""
        return self.resize in ("tf-bilinear", "tf-bicubic", "tf-area")

    @property
    def arithmetic(self) -> tuple[tuple[Operation, tuple[float, ...]], ...]:
        """The operations on the pixels, in order, each with its operand per channel; empty if values are unchanged.

        Operations without effect (division by 1, subtraction of 0) are left out.
        """
        operations: tuple[tuple[Operation, tuple[float, ...], float], ...] = (
            ("divide", self.scale, 1.0),
            ("subtract", self.mean, 0.0),
            ("divide", self.std, 1.0),
        )
        return tuple((name, operands) for name, operands, neutral in operations if set(operands) != {neutral})

    def in_gray(self) -> Preprocessing:
        """Return the same preprocessing for a gray image.

        Raises:
            ValueError: If the arithmetic differs between the channels.
        """
        operands = {name: getattr(self, name) for name in ("scale", "mean", "std")}
        if any(len(set(values)) != 1 for values in operands.values()):
            raise ValueError("the preprocessing differs between color channels and does not apply to gray images")
        return self.model_copy(update={"color": "gray", **{name: values[:1] for name, values in operands.items()}})


def _same(value: float) -> tuple[float, float, float]:
    return (value, value, value)


PRESETS: dict[str, Preprocessing] = {
    "caffe": Preprocessing(color="bgr", mean=(103.939, 116.779, 123.68)),
    "tf": Preprocessing(scale=_same(127.5), mean=_same(1.0)),
    "torch": Preprocessing(scale=_same(255.0), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "unit": Preprocessing(scale=_same(255.0)),
    "raw-rgb": Preprocessing(),
    "raw-bgr": Preprocessing(color="bgr"),
}
"""The presets by name: `caffe`, `tf` and `torch` as in `keras.applications.imagenet_utils`; `unit` is x/255."""
