"""The contract: everything that a client must know of a served model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import ValidationError, field_validator, model_validator

from camserve.contract.fields import Name, PositiveInteger, Record, conflict, invalid
from camserve.contract.maps import CamContract, version_for
from camserve.contract.outputs import expected_outputs
from camserve.contract.preprocessing import Preprocessing
from camserve.contract.reading import VERSION, read_contract
from camserve.contract.tensor import TensorSpec
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS, LOGITS, PROBABILITIES
from camserve.text import count, excerpt

__all__ = ["CONTRACT_PARAMETER", "LABELS_PARAMETER", "Activation", "ModelContract"]

CONTRACT_PARAMETER = "camserve.contract"
"""Name of the `config.pbtxt` parameter, and of the ONNX metadata property, that contains the contract as JSON."""

LABELS_PARAMETER = "camserve.labels"
"""Name of the `config.pbtxt` parameter that contains the lines of `labels.txt`."""

Activation = Literal["softmax", "sigmoid", "linear"]

_MAX_PIXELS = 2**26
_MAX_OUTPUTS = 64


class ModelContract(Record):
    """The contract of a served model: everything that a client must know.

    Attributes:
        version: Version of this format: 1, or 2 with maps of the kind `gradient`, so that clients that do not know
            these ask for an update.
        name: The model's name; the default for publishing.
        input: The image tensor, without the batch dimension: `[height, width, channels]`.
        outputs: Every output tensor, without the batch dimension.
        preprocessing: How an image becomes the input.
        activation: What turns logits into probabilities.
        classes: Number of classes.
        cam: The maps; None for a model that was exported without maps.
    """

    implied: ClassVar[tuple[str, ...]] = ("cam",)

    version: Literal[1, 2] = 1
    name: Name
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing
    activation: Activation
    classes: PositiveInteger
    cam: CamContract | None = None

    @field_validator("version", mode="before")
    @classmethod
    def _is_known(cls, version: Any) -> Any:
        if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
            raise invalid(f"must be from 1 to {VERSION}, got {excerpt(version)}")
        return version

    @model_validator(mode="after")
    def _parts_agree(self) -> ModelContract:
        for fault in (*self._version_faults(), *self._input_faults(), *self._output_faults()):
            raise conflict(fault)
        return self

    def _version_faults(self) -> Iterator[str]:
        needed = version_for(self.cam)
        if self.version != needed:
            maps = "no maps" if self.cam is None else f"cam.kind {self.cam.kind!r}"
            yield f"version must be {needed} with {maps}, got {self.version}"

    def _input_faults(self) -> Iterator[str]:
        pixels, dtype, shape = self.preprocessing, self.input.dtype, self.input.shape
        if len(shape) != 3:
            yield f"input.shape must be [height, width, channels], got {list(shape)}"
        elif shape[2] != pixels.channels:
            yield (
                f"input.shape has {count(shape[2], 'channel')}, but the preprocessing has {pixels.channels} "
                f"(color {pixels.color})"
            )
        elif shape[0] * shape[1] > _MAX_PIXELS:
            yield f"input.shape must have at most {_MAX_PIXELS:,} pixels, got {shape[0]} x {shape[1]}"
        changes_pixels = pixels.color == "bgr" or bool(pixels.arithmetic)
        if dtype == "INT32":
            yield "input.dtype must be 'FP32' or 'UINT8', got 'INT32'"
        elif dtype == "UINT8" and changes_pixels and not pixels.in_graph:
            yield "input.dtype must be 'FP32' if the client reorders channels or does arithmetic, got 'UINT8'"
        elif dtype == "FP32" and changes_pixels and pixels.in_graph:
            yield "input.dtype must be 'UINT8' if the graph reorders channels or does arithmetic, got 'FP32'"
        elif dtype == "UINT8" and pixels.gives_fractions:
            yield f"input.dtype must be 'FP32' for resize {pixels.resize}, which gives fractions, got 'UINT8'"

    def _output_faults(self) -> Iterator[str]:
        names = [tensor.name for tensor in (self.input, *self.outputs)]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if len(self.outputs) > _MAX_OUTPUTS:
            yield f"outputs must be at most {_MAX_OUTPUTS} tensors, got {len(self.outputs)}"
        elif repeated is not None:
            yield f"two tensors have the name {excerpt(repeated)}"
        elif self.cam is not None and self.cam.top_k > self.classes:
            yield f"cam.top_k must be at most the number of classes, {self.classes}, got {self.cam.top_k}"
        elif self.output(PROBABILITIES) is None and self.output(LOGITS) is None:
            yield f"outputs has neither {PROBABILITIES!r} nor {LOGITS!r}"
        else:
            yield from self._shape_faults()

    def _shape_faults(self) -> Iterator[str]:
        try:
            expected = expected_outputs(self.classes, self.cam)
        except ValidationError:
            yield f"classes is {self.classes}, for which an output would be too large"
            return
        for spec in expected:
            required = spec.name in (CAM, CAM_CLASS, CAM_ALL) or self.output(spec.name) is not None
            if required and self.output(spec.name) != spec:
                yield f"outputs must define {spec.name!r} as {spec.dtype} {list(spec.shape)}"
        for name in (CAM, CAM_CLASS, CAM_ALL):
            if self.output(name) is not None and name not in {spec.name for spec in expected}:
                yield f"outputs has {name!r}, but cam does not describe it"

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
        for output in self.outputs:  # several times for each request, where a generator takes three times as long
            if output.name == name:
                return output
        return None

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the contract as JSON; `from_json(contract.to_json()) == contract`."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(
        cls, text: str | bytes, *, origin: str = "the contract", hint: str = "Export the model again"
    ) -> ModelContract:
        """Read a contract from JSON, strictly: every field must be present, of its type, and agree with the others.

        Args:
            text: The JSON.
            origin: The file or model that it is from, for error messages.
            hint: How to replace an invalid contract.

        Raises:
            BundleError: If it is not a valid contract; the message names the field.
        """
        return read_contract(cls, text, origin, hint)
