"""Record the answers of an export to a few synthetic images, so that serving can verify them."""

from __future__ import annotations

import numpy as np

from camserve.contract import ModelContract
from camserve.export.formats.runner import Runner
from camserve.export.gate.samples import sample_images
from camserve.golden import IMAGES, Golden
from camserve.pixels import graph_input
from camserve.tensors import DATA_TYPES

__all__ = ["record_golden"]


def record_golden(run: Runner, contract: ModelContract) -> Golden:
    """Run an exported file on synthetic images; never on calibration images, which are private.

    Args:
        run: Runs the file.
        contract: Its contract.
    """
    pixels = sample_images(IMAGES, *contract.input.shape)
    answers = run(graph_input(pixels, contract.preprocessing))
    typed = {spec.name: np.asarray(answers[spec.name], DATA_TYPES[spec.dtype].numpy) for spec in contract.outputs}
    return Golden(pixels, typed)
