"""What an export answers to a few drawn images, kept so that those who serve it can ask again."""

from __future__ import annotations

import numpy as np

from camserve.contract import ModelContract
from camserve.export.formats.runner import Runner
from camserve.export.gate.measurement_images import as_given
from camserve.export.gate.samples import sample_images
from camserve.golden import IMAGES, Golden
from camserve.tensors import DATA_TYPES

__all__ = ["golden_of"]


def golden_of(run: Runner, contract: ModelContract) -> Golden:
    """The file's answers to drawn images; never to images of the calibration, which are their owner's.

    Args:
        run: Runs the file that has passed the gate.
        contract: What it answers with.
    """
    pixels = sample_images(IMAGES, *contract.input.shape)
    answers = run(as_given(pixels, contract.preprocessing))
    typed = {spec.name: np.asarray(answers[spec.name], DATA_TYPES[spec.dtype].numpy) for spec in contract.outputs}
    return Golden(pixels, typed)
