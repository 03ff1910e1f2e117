"""The contract of a served model: its tensors, its preprocessing and its maps.

Export writes it to `contract.json` and into the ONNX metadata, publishing writes it into `config.pbtxt` as the
parameter `camserve.contract`, and clients configure themselves from there.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from camserve.errors import BundleError
from camserve.text import count

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
"""Name of the `config.pbtxt` parameter, and of the ONNX metadata property, that contains the contract as JSON."""

LABELS_PARAMETER = "camserve.labels"
"""Name of the `config.pbtxt` parameter that contains the lines of `labels.txt`."""

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
Activation = Literal["softmax", "sigmoid", "linear"]
DType = Literal["FP32", "UINT8", "INT32"]
Operation = Literal["divide", "subtract"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Value):
    """An input or output tensor: its name, Triton data type and shape without the batch dimension."""

    name: str
    dtype: DType
    shape: tuple[int, ...]


class Preprocessing(_Value):
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
        in_graph: The graph reorders the channels and does the arithmetic; clients send unchanged RGB or gray pixels.
    """

    color: ColorOrder = "rgb"
    resize: ResizeFilter = "nearest"
    fit: Fit = "stretch"
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    in_graph: bool = False

    @model_validator(mode="after")
    def _one_value_per_channel(self) -> Preprocessing:
        for name in ("scale", "mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise ValueError(f"{name} must have {count(self.channels, 'value')} for color {self.color!r}")
        if 0.0 in self.scale or 0.0 in self.std:
            raise ValueError("scale and std are divisors and must not be 0")
        if self.in_graph and self.gives_fractions:
            raise ValueError(f"resize {self.resize} gives fractions, but the graph takes whole pixels")
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


class CamContract(_Value):
    """The class activation maps of a model.

    Attributes:
        kind: How the last features are pooled before the linear layer: over the whole grid (`global-average`), in
            windows (`average`), or not pooled (`flatten`).
        grid: Height and width of a map, in cells.
        top_k: Number of maps in the output `cam`, best class first.
        all_classes: Whether the output `cam_all` contains the map of every class.
    """

    kind: Literal["global-average", "average", "flatten"]
    grid: tuple[int, int]
    top_k: int = Field(ge=1)
    all_classes: bool = False


class ModelContract(_Value):
    """The contract of a served model: everything that a client must know.

    Attributes:
        version: Version of this format.
        name: The model's name; the default for publishing.
        input: The image tensor, without the batch dimension: `[height, width, channels]`.
        outputs: Every output tensor, without the batch dimension.
        preprocessing: How an image becomes the input.
        activation: What turns logits into probabilities.
        classes: Number of classes.
        cam: The maps; None for a model that was exported without maps.
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
            raise ValueError("the shape of the input must be [height, width, channels]")
        if self.input.shape[2] != self.preprocessing.channels:
            raise ValueError(
                f"the input has {count(self.input.shape[2], 'channel')}, "
                f"but the preprocessing has {self.preprocessing.channels}"
            )
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError("two outputs have the same name")
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
        """Return the output tensor with this name, or None."""
        return next((output for output in self.outputs if output.name == name), None)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the contract as JSON; `from_json(contract.to_json()) == contract`."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes, *, origin: str = "the contract") -> ModelContract:
        """Read a contract from JSON.

        Args:
            text: The JSON.
            origin: The file or model that it is from, for error messages.

        Raises:
            BundleError: If it is not a valid contract of version 1.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise BundleError(
                f"{origin} is not a valid camserve contract: {where}: {first['msg']}",
                hint="Export the model again with this version of camserve",
            ) from None
