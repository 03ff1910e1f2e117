"""Record the answers of an export to a few synthetic images, so that serving can verify them."""

from __future__ import annotations

import numpy as np

from camserve.contract import ModelContract
from camserve.export.formats.runner import Runner
from camserve.export.gate.determined import map_changes
from camserve.export.gate.samples import sample_images
from camserve.export.graph.reference import KerasReference
from camserve.golden import IMAGES, ROUNDINGS, Golden, with_rounding
from camserve.pixels import graph_input, normalize
from camserve.tensors import CAM_CLASS, DATA_TYPES

__all__ = ["record_golden"]


def record_golden(
    run: Runner, contract: ModelContract, reference: KerasReference, *, in_float32: Runner | None = None
) -> Golden:
    """Run an exported file on synthetic images; never on calibration images, which are private.

    Args:
        run: Runs the file.
        contract: Its contract.
        reference: The network, in float64 if possible.
        in_float32: Runs the same file in float32; None if `run` computes it as it is stored.
    """
    pixels = sample_images(IMAGES, *contract.input.shape)
    images = graph_input(pixels, contract.preprocessing)
    answers = run(images)
    typed = {spec.name: np.asarray(answers[spec.name], DATA_TYPES[spec.dtype].numpy) for spec in contract.outputs}
    changes = None
    if CAM_CLASS in typed:
        network_answers = reference(normalize(pixels, contract.preprocessing))
        changes = map_changes(network_answers, typed[CAM_CLASS].astype(np.int64), ROUNDINGS)
    golden = Golden(pixels, typed, None if changes is None else changes.astype(np.float32))
    return golden if in_float32 is None else with_rounding(golden, contract, in_float32(images))
