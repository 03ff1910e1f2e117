"""The output tensors of a classifier."""

from __future__ import annotations

from camserve.contract.maps import CamContract
from camserve.contract.tensor import TensorSpec
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS, LOGITS, PROBABILITIES

__all__ = ["expected_outputs"]


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
