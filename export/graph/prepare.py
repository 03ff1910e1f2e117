"""From a Keras model to what is converted, and to what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.export.frameworks import keras

from camserve.contract import Preprocessing
from camserve.export.graph.fold import FoldReport, fold, foldable
from camserve.export.graph.head import LinearHead, find_linear_head, split_logits
from camserve.export.graph.inference import BuiltForTraining, to_float32, to_inference_mode
from camserve.export.graph.network import Network, trace
from camserve.export.graph.reference import KerasReference
from camserve.export.graph.served import ServedGraph, build_served_graph

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A classifier ready for conversion.

    Attributes:
        model: The model as it was given.
        served: What is converted.
        reference: The network as it was read from the model, in its own precision, BatchNorm unfolded.
        head: Its linear head, or None when it is exported without maps.
        folding: What became of each BatchNorm.
        dtype: The model's precision.
        input_dtype: Data type of the model's input.
        trained: Layers that were built for training.
        foldable: Number of BatchNorm layers left that could have been folded.
    """

    model: keras.Model
    served: ServedGraph
    reference: KerasReference
    head: LinearHead | None
    folding: FoldReport
    dtype: str
    input_dtype: str
    trained: BuiltForTraining
    foldable: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the model's owner should know."""
        warnings = []
        if self.trained.norms:
            warnings.append(
                f"{len(self.trained.norms)} BatchNorm layers were built with training=True ({self.trained.norms[0]} "
                "first): called as model(x), Keras lets them normalise by the batch. They are exported in inference "
                "mode, with their moving statistics"
            )
        if self.trained.noise:
            warnings.append(
                f"{len(self.trained.noise)} dropout or noise layers were built with training=True "
                f"({self.trained.noise[0]} first). They are left out of the export"
            )
        if self.dtype != "float32":
            against = "its weights in float32" if "16" in self.dtype else self.dtype
            warnings.append(
                f"the model computes in {self.dtype}; it is exported as float32 and measured against {against}"
            )
        return tuple(warnings)


def prepare(
    model: keras.Model,
    *,
    cam: bool,
    top_k: int,
    all_classes: bool,
    pixels: Preprocessing | None = None,
    network: Network | None = None,
) -> Prepared:
    """Put a classifier into inference mode, fold its BatchNorm layers and add its class activation maps.

    Args:
        model: The classifier.
        cam: Whether to add the maps.
        top_k: Number of maps, one for each of the best classes.
        all_classes: Whether to add the map of every class as well.
        pixels: Preprocessing that the graph applies to uint8 pixels; None if the graph takes the model's own input.
        network: The result of `trace(model)`, if the caller has it; None traces the model here.

    Raises:
        SourceError: If the model is no classifier that camserve can read.
        HeadError: If maps are asked for and the head is not linear.
    """
    traced = trace(model) if network is None else network
    inference, trained = to_inference_mode(traced)
    dtype = _precision(inference)
    # Half precision is no yardstick for an export in single precision; its weights are.
    original, logits, _ = split_logits(to_float32(inference) if "16" in dtype else inference)
    head = find_linear_head(original, logits) if cam else None
    folded, folding = fold(original)
    exported, exported_logits, activation = split_logits(to_float32(folded))
    exported_head = find_linear_head(exported, exported_logits) if cam else None
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
    )


def _precision(network: Network) -> str:
    """The precision that the layers with weights compute in."""
    return " and ".join(sorted({layer.compute_dtype for layer in network.layers if layer.weights})) or network.dtype
