"""The bounds of the gate."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.contract import Activation

__all__ = ["Tolerances"]


@dataclass(frozen=True)
class Tolerances:
    """The bounds of the gate.

    Attributes:
        logits: Largest difference of a logit, relative to the largest |logit| of Keras. A classifier without an
            activation answers with logits in place of probabilities, and they are held to this bound, too.
        probabilities: Largest difference of a probability, absolute.
        cam: Largest difference of a map, relative to the largest |value| of Keras's maps.
        cam_identity: Largest difference between a logit and the sum of its map plus bias, relative to the largest
            |logit|.
        top1_disagreement: In fp16 and int8, largest share of images whose best class is another than Keras's.
        cam_distance: In fp16 and int8, largest distance of a map from Keras's of the same class: one less their
            cosine, on the average.
        lower_logits: In fp16 and int8, what `logits` is in fp32. int8 moves the logits of trained networks by about
            1 %, those of deep random ones by 15 %; answers twice as large, or always the same, are beyond it.
        lower_probabilities: In fp16 and int8, what `probabilities` is in fp32: an answer may change from unsure to
            sure, and no farther. Values that are no probabilities miss every bound.
    """

    logits: float = 1e-4
    probabilities: float = 1e-5
    cam: float = 1e-4
    cam_identity: float = 1e-4
    top1_disagreement: float = 0.01
    cam_distance: float = 0.01
    lower_logits: float = 0.25
    lower_probabilities: float = 0.5

    def of_probabilities(self, activation: Activation) -> float:
        """The bound of `probabilities` in fp32: that of logits where there is no activation and they are logits."""
        return self.logits if activation == "linear" else self.probabilities
