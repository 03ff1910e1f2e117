"""The contract: what a served model expects and what it answers, carried by the model itself.

Export writes it to `contract.json` and into the ONNX metadata, publishing writes it into `config.pbtxt` as the
parameter `camserve.contract`, and the client configures itself from there. Nobody types a mean twice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from camserve.errors import BundleError

__all__ = [
    "CONTRACT_PARAMETER",
    "LABELS_PARAMETER",
    "PRESETS",
    "Activation",
    "CamContract",
    "ColorOrder",
    "Fit",
    "ModelContract",
    "Operation",
    "Preprocessing",
    "ResizeFilter",
    "TensorSpec",
]

CONTRACT_PARAMETER = "camserve.contract"
"""Name of the `config.pbtxt` parameter, and of the ONNX metadata property, that holds the contract as JSON."""

LABELS_PARAMETER = "camserve.labels"
"""Name of the `config.pbtxt` parameter that holds the labels as they stand in `labels.txt`, one a line."""

ColorOrder = Literal["rgb", "bgr", "gray"]
ResizeFilter = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Fit = Literal["stretch", "center-crop", "crop-only"]
Activation = Literal["softmax", "sigmoid", "linear"]
DType = Literal["FP32", "UINT8", "INT32"]
Operation = Literal["divide", "subtract"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Value):
    """One input or output tensor: its name, Triton data type and shape without the batch dimension."""

    name: str
    dtype: DType
    shape: tuple[int, ...]


class Preprocessing(_Value):
    """How pixels become the network's input.

    An image is fitted to the input's height and width, its channels are put into `color` order, and each channel c
    becomes `(pixel / scale[c] - mean[c]) / std[c]`, computed in float32 in that order of operations, which is the
    order of `keras.applications.imagenet_utils.preprocess_input`.

    Attributes:
        color: Channel order of the network's input.
        resize: Filter of the resize; Keras's `load_img` uses `nearest` unless told otherwise.
        fit: `stretch` resizes both sides freely; `center-crop` first cuts the largest centred part of the input's
            aspect ratio (Keras's `keep_aspect_ratio`); `crop-only` cuts the centre and never resizes.
        scale: Divisor per channel, in `color` order.
        mean: Subtracted after scaling, per channel, in `color` order.
        std: Divisor after subtraction, per channel, in `color` order.
        in_graph: The graph itself reorders the channels and does the arithmetic; the client sends RGB (or gray)
            pixels as they are.
    """

    color: ColorOrder = "rgb"
    resize: ResizeFilter = "nearest"
    fit: Fit = "stretch"
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    in_graph: bool = False

    @model_validator(mode="after")
    def _one_figure_per_channel(self) -> Preprocessing:
        for name in ("scale", "mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(f"{name} needs {self.channels} figures for color {self.color!r}")
        if 0.0 in self.scale or 0.0 in self.std:
            raise ValueError("scale and std are divisors and must not be 0")
        return self

    @property
    def channels(self) -> int:
        """Number of channels: 1 for gray, else 3."""
        return 1 if self.color == "gray" else 3

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
        """The same arithmetic for a single channel.

        Raises:
            ValueError: If the channels differ from each other, so that no single figure stands for all.
        """
        figures = {name: getattr(self, name) for name in ("scale", "mean", "std")}
        if any(len(set(values)) != 1 for values in figures.values()):
            raise ValueError("this preprocessing treats the colour channels differently and has no gray form")
        gray = {name: values[:1] for name, values in figures.items()}
        return Preprocessing(color="gray", resize=self.resize, fit=self.fit, in_graph=self.in_graph, **gray)


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
"""Preprocessing by name: `caffe`, `tf` and `torch` as in `keras.applications.imagenet_utils`; `unit` is x/255."""


class CamContract(_Value):
    """The class activation maps that the model answers with.

    Attributes:
        kind: How the last features are pooled before the linear layer: over the whole grid (`global-average`), in
            windows (`average`), or not at all (`flatten`).
        grid: Height and width of a map, in cells.
        top_k: Number of maps in the output `cam`, best class first.
        all_classes: Whether the output `cam_all` holds the map of every class.
    """

    kind: Literal["global-average", "average", "flatten"]
    grid: tuple[int, int]
    top_k: int = Field(ge=1)
    all_classes: bool = False


class ModelContract(_Value):
    """What a served model expects and what it answers; the sum of what a client must know.

    Attributes:
        version: Version of this format.
        name: The model's name, as published unless another is given.
        input: The image tensor, NHWC without the batch: `[height, width, channels]`.
        outputs: Every output tensor, without the batch.
        preprocessing: How pixels become the input.
        activation: What turns logits into probabilities.
        classes: Number of classes.
        cam: The maps, or None when the model was exported without.
    """

    version: Literal[1] = 1
    name: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing
    activation: Activation
    classes: int = Field(ge=1)
    cam: CamContract | None = None

    @model_validator(mode="after")
    def _parts_agree(self) -> ModelContract:
        if len(self.input.shape) != 3:
            raise ValueError("the input's shape must be [height, width, channels]")
        if self.input.shape[2] != self.preprocessing.channels:
            raise ValueError(
                f"the input has {self.input.shape[2]} channels and the preprocessing {self.preprocessing.channels}"
            )
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError("two outputs have one name")
        return self

    @property
    def height(self) -> int:
        """Height of the input, in pixels."""
        return self.input.shape[0]

    @property
    def width(self) -> int:
        """Width of the input, in pixels."""
        return self.input.shape[1]

    def output(self, name: str) -> TensorSpec | None:
        """The output tensor of that name, or None."""
        return next((output for output in self.outputs if output.name == name), None)

    def to_json(self, *, indent: int | None = None) -> str:
        """The contract as JSON; `from_json(contract.to_json()) == contract`."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes, *, origin: str = "the contract") -> ModelContract:
        """Reads a contract.

        Args:
            text: The JSON.
            origin: Where it came from, for the message.

        Raises:
            BundleError: If it is no contract of a version that this camserve knows.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise BundleError(
                f"{origin} is not a valid camserve contract: {where}: {first['msg']}",
                hint="Export the model again with this version of camserve",
            ) from error
