"""The contract of a served model: its tensors, its preprocessing and its maps.

Export writes it to `contract.json` and into the ONNX metadata, publishing writes it into `config.pbtxt` as the
parameter `camserve.contract`, and clients configure themselves from there.
"""

from camserve.contract.maps import CamContract, MapMethod
from camserve.contract.model import CONTRACT_PARAMETER, LABELS_PARAMETER, Activation, ModelContract
from camserve.contract.preprocessing import PRESETS, ColorOrder, Fit, Operation, Preprocessing, ResizeFilter
from camserve.contract.tensor import TensorSpec

__all__ = [
    "CONTRACT_PARAMETER",
    "LABELS_PARAMETER",
    "PRESETS",
    "Activation",
    "CamContract",
    "ColorOrder",
    "Fit",
    "MapMethod",
    "ModelContract",
    "Operation",
    "Preprocessing",
    "ResizeFilter",
    "TensorSpec",
]
