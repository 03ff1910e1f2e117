"""The tolerances of the parity gate, and how they follow the rounding of Keras itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from camserve.contract import Activation
from camserve.errors import UsageError
from camserve.export.formats.onnx_settings import OPENVINO
from camserve.text import suggest

__all__ = ["HARD_LIMIT", "NOISE_FACTOR", "Limit", "Tolerances"]

HARD_LIMIT = 1e-3
"""What no difference of fp32 may exceed, however large the rounding of Keras itself is."""

NOISE_FACTOR = 2
"""How often the rounding of Keras itself a default tolerance allows, up to the hard limit."""


@dataclass(frozen=True)
class Limit:
    """The largest value with which a metric passes.

    Attributes:
        value: The limit in effect.
        default: The limit that is in effect if no tolerance is given.
        option: The field of `Tolerances`, and the METRIC of `--bound`, that changes it; None if it is fixed.
        noise: The value of the same metric for Keras's own float32 answers; None if it is not known or does not apply.
    """

    value: float
    default: float
    option: str | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Tolerances:
    """The tolerances of the parity gate: the largest value of each metric with which an export passes.

    The defaults of `logits`, `probabilities` and `cam` grow to twice the distance of Keras's own float32 answers from
    those in float64, where that is larger, but to no more than 1e-3. A tolerance other than the default is applied as
    it is.

    Attributes:
        logits: Largest difference of a logit, relative to the largest |logit| of Keras. It also applies to the
            probabilities of a classifier without an activation, which are logits.
        probabilities: Largest absolute difference of a probability.
        cam: Largest difference of a map, relative to the largest |value| of Keras's maps.
        cam_identity: Largest difference between a logit and what its map and bias add up to, relative to the largest
            |logit| or |bias|: where they cancel, the rounding of the larger one remains.
        top1_disagreement: In fp16, bf16 and int8, share of the images whose best class differs from Keras's. An export
            is refused if the share is larger with a confidence of 95 %.
        cam_distance: In fp16, bf16 and int8, mean distance of a map from Keras's map of the same class: 1 - cosine.
        lower_logits: In fp16 and int8, the tolerance of `logits`. int8 moves the logits of trained networks by about
            1 %, those of deep random ones by 15 %; logits that are twice as large or constant exceed the default.
        lower_probabilities: In fp16 and int8, the tolerance of `probabilities`: the default lets an answer change from
            unsure to sure. Values outside [0, 1] never pass.
        bf16_logits: In bf16, the tolerance of `logits`.
        bf16_probabilities: In bf16, the tolerance of `probabilities`. Values outside [0, 1] never pass.
        bf16_cam_identity: In bf16, the tolerance of `cam_identity`: OpenVINO computes head and maps in bf16 too.
        end_to_end: With expected answers, the largest difference of a probability, or of an expected class from the
            best one; libraries decode JPEG files slightly differently. In fp16 and int8, `lower_probabilities` and
            `top1_disagreement` apply, in bf16 `bf16_probabilities` and `top1_disagreement`.

    Raises:
        UsageError: If a value is negative or not finite.
    """

    logits: float = 1e-4
    probabilities: float = 1e-5
    cam: float = 1e-4
    cam_identity: float = 1e-4
    top1_disagreement: float = 0.01
    cam_distance: float = 0.01
    lower_logits: float = 0.25
    lower_probabilities: float = 0.5
    bf16_logits: float = 0.1
    bf16_probabilities: float = 0.25
    bf16_cam_identity: float = 0.05
    end_to_end: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise UsageError(
                    f"the tolerance of {field.name} must be a finite number of at least 0, got {value:g}",
                    hint=f"Pass --bound {field.name}={field.default:g}, which is the default, or another number",
                )

    @classmethod
    def from_values(cls, values: Mapping[str, float]) -> Tolerances:
        """Return the default tolerances with some replaced.

        Args:
            values: New tolerances by metric.

        Raises:
            UsageError: If a metric is unknown or has no tolerance, or a value is negative or not finite.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UsageError(
                    f"unknown metric {name!r}", hint=suggest(name, known) or f"Choose one of {', '.join(known)}"
                )
        return cls(**values)

    def limit(self, option: str, noise: float | None = None) -> Limit:
        """Return the limit of a metric.

        Args:
            option: The field of this class.
            noise: The value of the metric for Keras's own float32 answers, which raises the default.
        """
        given, default = getattr(self, option), getattr(Tolerances(), option)
        raised = default if noise is None else max(default, min(NOISE_FACTOR * noise, HARD_LIMIT))
        return Limit(raised if given == default else given, raised, option, noise)

    def of_probabilities(self, activation: Activation, noise: float | None = None) -> Limit:
        """Return the limit of `probabilities` in fp32: that of logits after the activation `linear`."""
        return self.limit("logits" if activation == "linear" else "probabilities", noise)

    def of_lower_precision(self, metric: Literal["logits", "probabilities", "cam_identity"], format_name: str) -> Limit:
        """Return the limit of a metric in a lower precision.

        Args:
            metric: The metric.
            format_name: `openvino` for bf16, else fp16 or int8, whose head is in float32.
        """
        if format_name == OPENVINO:
            return self.limit(f"bf16_{metric}")
        return self.limit(metric if metric == "cam_identity" else f"lower_{metric}")
