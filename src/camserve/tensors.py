"""Names and data types of the tensors of a served model, which export, serving and clients share."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "CAM",
    "CAM_ALL",
    "CAM_CLASS",
    "DATA_TYPES",
    "IMAGE",
    "LOGITS",
    "PROBABILITIES",
    "DType",
    "DataType",
]

IMAGE = "image"
PROBABILITIES = "probabilities"
LOGITS = "logits"
CAM = "cam"
CAM_CLASS = "cam_class"
CAM_ALL = "cam_all"

DType = Literal["FP32", "UINT8", "INT32"]


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
