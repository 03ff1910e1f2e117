"""Record the answers of an export to a few synthetic images, so that serving can verify them."""

from __future__ import annotations

import numpy as np

from camserve.contract import ModelContract
from camserve.export.formats.runner import Runner
from camserve.export.gate.determined import map_changes
from camserve.export.gate.samples import sample_images
from camserve.export.graph.reference import KerasReference
from camserve.golden import IMAGES, ROUNDINGS, Golden
from camserve.pixels import graph_input, normalize
from camserve.tensors import CAM_CLASS, DATA_TYPES

__all__ = ["record_golden"]


def record_golden(run: Runner, contract: ModelContract, reference: KerasReference) -> Golden:
    """Run an exported file on synthetic images; never on calibration images, which are private.

    Args:
        run: Runs the file.
        contract: Its contract.
        reference: The network, in float64 if possible.
    """
    pixels = sample_images(IMAGES, *contract.input.shape)
    answers = run(graph_input(pixels, contract.preprocessing))
    typed = {spec.name: np.asarray(answers[spec.name], DATA_TYPES[spec.dtype].numpy) for spec in contract.outputs}
    changes = None
    if CAM_CLASS in typed:
        network_answers = reference(normalize(pixels, contract.preprocessing))
        changes = map_changes(network_answers, typed[CAM_CLASS].astype(np.int64), ROUNDINGS)
    return Golden(pixels, typed, None if changes is None else changes.astype(np.float32))
