"""The SavedModel format: writing, and running with TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camserve.export.frameworks import tf

import numpy as np
import numpy.typing as npt

from camserve.errors import ConversionError
from camserve.export.formats.runner import Runner
from camserve.export.formats.saved_model_names import make_deterministic
from camserve.export.framework_errors import reason
from camserve.export.graph.served import ServedGraph

__all__ = ["open_saved_model", "write_saved_model"]

_SIGNATURE = "serving_default"


def write_saved_model(served: ServedGraph, path: Path) -> None:
    """Write a SavedModel with one signature, `serving_default`, with the tensor names of the contract.

    Args:
        served: The graph.
        path: The folder.

    Raises:
        ConversionError: If TensorFlow cannot save the graph.
    """
    module = tf.Module()
    module.layers = served.layers  # TensorFlow saves the weights of tracked layers
    module.serve = tf.function(served.function, input_signature=[served.signature])
    try:
        tf.saved_model.save(module, str(path), signatures={_SIGNATURE: module.serve})
    except (ValueError, TypeError, AssertionError, tf.errors.OpError) as error:
        raise ConversionError(
            f"TensorFlow cannot save the network: {reason(error)}", hint="Export only ONNX: --formats onnx"
        ) from error
    make_deterministic(path)


def open_saved_model(path: Path) -> Runner:
    """Load the SavedModel and run its signature, as TensorFlow Serving does."""
    loaded = tf.saved_model.load(str(path))

    def run(images: npt.NDArray[np.float32]) -> Mapping[str, npt.NDArray[Any]]:
        function = loaded.signatures[_SIGNATURE]  # the function alone does not keep the model alive
        (name,) = function.structured_input_signature[1]
        return {key: value.numpy() for key, value in function(**{name: tf.constant(images)}).items()}

    return run
