"""From a Keras model to what is converted, and to what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from camserve.export.fold import FoldReport, fold, foldable
from camserve.export.head import LinearHead, find_linear_head, with_logits
from camserve.export.inference import in_float32, in_inference_mode
from camserve.export.network import Network, trace
from camserve.export.parity import Figure
from camserve.export.reference import KerasReference
from camserve.export.served import ServedGraph, serve

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A classifier ready for conversion.

    Attributes:
        served: What is converted.
        reference: The original network, in its own precision.
        head: The original network's linear head, or None when it is exported without maps.
        folding: What became of each BatchNorm.
        dtype: The original network's precision.
        warnings: What its owner should know.
        foldable: Number of BatchNorm layers left that could have been folded.
    """

    served: ServedGraph
    reference: KerasReference
    head: LinearHead | None
    folding: FoldReport
    dtype: str
    warnings: tuple[str, ...]
    foldable: int

    def unfolded(self) -> Figure:
        """The figure of the gate that counts what folding left."""
        return Figure("network", "unfolded", 0, self.foldable, 0)


def prepare(model: keras.Model, *, cam: bool, top_k: int, all_classes: bool) -> Prepared:
    """Puts a classifier into inference mode, folds its BatchNorm, and adds its maps.

    Raises:
        SourceError: If the model is no classifier that camserve can read.
        HeadError: If maps are asked for and the head is not linear.
    """
    inference, trained = in_inference_mode(trace(model))
    original, logits, _ = with_logits(inference)
    head = find_linear_head(original, logits) if cam else None
    folded, folding = fold(original)
    network, served_logits, activation = with_logits(in_float32(folded))
    served_head = find_linear_head(network, served_logits) if cam else None
    return Prepared(
        served=serve(network, served_logits, activation, served_head, top_k=top_k, all_classes=all_classes),
        reference=KerasReference(original, logits, head),
        head=head,
        folding=folding,
        dtype=_precision(original),
        warnings=_warnings(trained, _precision(original)),
        foldable=len(foldable(network)),
    )


def _precision(network: Network) -> str:
    """The precision that the layers with weights compute in."""
    dtypes = {step.operation.compute_dtype for step in network.steps if getattr(step.operation, "weights", None)}
    return " and ".join(sorted(dtypes)) or network.dtype


def _warnings(trained: tuple[str, ...], dtype: str) -> tuple[str, ...]:
    warnings = []
    if trained:
        warnings.append(
            f"{len(trained)} layers were built with training=True ({trained[0]} first): called as model(x), Keras lets "
            "them normalise by the batch. They are exported in inference mode, with their moving statistics"
        )
    if dtype != "float32":
        warnings.append(f"the model computes in {dtype}; it is exported as float32 and measured against {dtype}")
    return tuple(warnings)
