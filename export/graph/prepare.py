"""Preparation of a Keras model: the graph to convert, and the reference to compare it with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.contract import Preprocessing
from camserve.errors import UsageError
from camserve.export.graph.fold import FoldReport, fold, foldable
from camserve.export.graph.gradient_head import GradientHead, Head, find_gradient_head, find_head
from camserve.export.graph.head import split_logits
from camserve.export.graph.inference import BuiltForTraining, to_float32, to_inference_mode
from camserve.export.graph.network import Network
from camserve.export.graph.position_products import by_position
from camserve.export.graph.reference import KerasReference
from camserve.export.graph.served import ServedGraph, build_served_graph
from camserve.export.graph.trace import trace
from camserve.export.graph.two_classes import as_two_classes
from camserve.export.source.loaded_model import Predict
from camserve.text import count

__all__ = ["Prepared", "prepare"]

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Prepared:
    """A classifier ready for conversion.

    Attributes:
        model: The original model.
        served: The graph to convert.
        reference: The traced network in its own precision, without folding.
        head: Its head; None if it is exported without maps.
        folding: Which BatchNorm layers were folded.
        dtype: The model's precision.
        input_dtype: Data type of the model's input.
        trained: Layers that were built with `training=True`.
        foldable: Number of remaining BatchNorm layers that could have been folded.
        predict: Runs the original model in inference mode, in the library that saved it.
    """

    model: keras.Model
    served: ServedGraph
    reference: KerasReference
    head: Head | None
    folding: FoldReport
    dtype: str
    input_dtype: str
    trained: BuiltForTraining
    foldable: int
    predict: Predict

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about this model for the report."""
        warnings = []
        if self.trained.norms:
            warnings.append(
                f"{count(len(self.trained.norms), 'BatchNorm layer')} called with training=True in the model "
                f"({_first_names(self.trained.norms)}): model(x), and predict in Keras 2, normalize by the batch; the "
                "export normalizes by the moving statistics, so its answers differ from those"
            )
        if self.trained.noise:
            warnings.append(
                f"{count(len(self.trained.noise), 'dropout or noise layer')} called with training=True in the model "
                f"({_first_names(self.trained.noise)}): model(x), and predict in Keras 2, answer randomly; the export "
                "leaves these layers out and always gives the same answer"
            )
        if self.trained.others:
            warnings.append(
                f"{count(len(self.trained.others), 'layer')} called with training=True in the model "
                f"({_first_names(self.trained.others)}): the export calls all layers with training=False, so its "
                "answers may differ from those of model(x), and of predict in Keras 2"
            )
        if self.dtype != "float32":
            reference = "a float32 reference" if "16" in self.dtype else f"a {self.dtype} reference"
            warnings.append(f"the model computes in {self.dtype}: exported as float32 and compared with {reference}")
        return tuple(warnings)


def prepare(
    model: keras.Model,
    *,
    cam: bool,
    top_k: int,
    all_classes: bool,
    pixels: Preprocessing | None = None,
    network: Network | None = None,
    predict: Predict | None = None,
    two_classes: bool = False,
) -> Prepared:
    """Put a classifier into inference mode, fold its BatchNorm layers and add its class activation maps.

    Args:
        model: The classifier.
        cam: Whether to add the maps.
        top_k: Number of maps, one for each of the best classes.
        all_classes: Whether to add the map of every class as well.
        pixels: Preprocessing that the graph applies to uint8 pixels; None if the graph takes the model's own input.
        network: The result of `trace(model)`, if the caller has it; None traces the model here.
        predict: Runs the model in the library that saved it, if that is not Keras 3.
        two_classes: Whether to make two classes of a single sigmoid: 1 - p and p.

    Raises:
        SourceError: If the model is not a classifier, or not supported.
        HeadError: If `cam` is true and the head is neither linear nor one whose derivative can be computed.
        UsageError: If maps of all classes are requested, and the head is not linear.
    """
    traced = trace(model) if network is None else network
    inference, trained = to_inference_mode(traced)
    dtype = _precision(inference)
    # Half precision is too coarse a reference for an export in float32, so its weights are converted first.
    original, logits, activation = split_logits(to_float32(inference) if "16" in dtype else inference)
    predict = predict or _predict_of(model, traced.dtype)
    if two_classes:
        original, logits = as_two_classes(original, logits, activation)
        predict = _both_of(predict)
    head = find_head(original, logits) if cam else None
    if all_classes and isinstance(head, GradientHead):
        raise UsageError(
            f"the head of model {model.name!r} is not linear ({head.layer}), so that the map of every class would "
            "require a computation for each",
            hint=f"Leave out --cam-all, or choose the number of maps, of the best classes: --cam-top-k {top_k}",
        )
    folded, folding = fold(original)
    exported, exported_logits, activation = split_logits(to_float32(folded))
    exported_head = find_head(exported, exported_logits) if cam else None
    if isinstance(exported_head, GradientHead):
        exported = by_position(exported, exported_head.features)
        exported_head = find_gradient_head(exported, exported_logits)
    return Prepared(
        model=model,
        served=build_served_graph(
            exported,
            exported_logits,
            activation,
            exported_head,
            pixels=pixels,
            top_k=top_k,
            all_classes=all_classes,
        ),
        reference=KerasReference(original, logits, head),
        head=head,
        folding=folding,
        dtype=dtype,
        input_dtype=traced.dtype,
        trained=trained,
        foldable=len(foldable(exported)),
        predict=predict,
    )


def _first_names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"


def _predict_of(model: keras.Model, dtype: str) -> Predict:
    def predict(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        (output,) = keras.tree.flatten(model(images.astype(dtype), training=False))
        return np.asarray(output)

    return predict


def _both_of(predict: Predict) -> Predict:
    """Return the probabilities of two classes, 1 - p and p, `[batch, 2]`."""

    def both(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        probability = predict(images)
        return np.concatenate([1 - probability, probability], axis=-1)

    return both


def _precision(network: Network) -> str:
    """Return the precision in which the layers with weights compute."""
    return " and ".join(sorted({layer.compute_dtype for layer in network.layers if layer.weights})) or network.dtype
