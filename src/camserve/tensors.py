"""Names, data types and shapes of the tensors of a served model, which export, serving and clients share."""

from __future__ import annotations

from typing import NamedTuple

from camserve.contract import CamContract, DType, TensorSpec

__all__ = [
    "CAM",
    "CAM_ALL",
    "CAM_CLASS",
    "DATA_TYPES",
    "IMAGE",
    "LOGITS",
    "PROBABILITIES",
    "DataType",
    "expected_outputs",
]

IMAGE = "image"
PROBABILITIES = "probabilities"
LOGITS = "logits"
CAM = "cam"
CAM_CLASS = "cam_class"
CAM_ALL = "cam_all"


class DataType(NamedTuple):
    """The names of a Triton data type elsewhere.

    Attributes:
        numpy: Name in NumPy and TensorFlow.
        onnx: Name in `onnx.TensorProto`.
    """

    numpy: str
    onnx: str

    @property
    def onnx_tensor(self) -> str:
        """Return the type of a tensor as ONNX Runtime reports it, such as `tensor(float)`."""
        return f"tensor({self.onnx.lower()})"


DATA_TYPES: dict[DType, DataType] = {
    "FP32": DataType("float32", "FLOAT"),
    "UINT8": DataType("uint8", "UINT8"),
    "INT32": DataType("int32", "INT32"),
}
"""The data types of a contract, by their Triton names."""


def expected_outputs(classes: int, cam: CamContract | None) -> tuple[TensorSpec, ...]:
    """Return the output tensors of a classifier, without the batch dimension, in the order in which they are declared.

    Args:
        classes: Number of classes.
        cam: The class activation maps, or None for a model without.
    """
    outputs = [
        TensorSpec(name=PROBABILITIES, dtype="FP32", shape=(classes,)),
        TensorSpec(name=LOGITS, dtype="FP32", shape=(classes,)),
    ]
    if cam is not None:
        outputs += [
            TensorSpec(name=CAM, dtype="FP32", shape=(cam.top_k, *cam.grid)),
            TensorSpec(name=CAM_CLASS, dtype="INT32", shape=(cam.top_k,)),
        ]
        if cam.all_classes:
            outputs.append(TensorSpec(name=CAM_ALL, dtype="FP32", shape=(classes, *cam.grid)))
    return tuple(outputs)
