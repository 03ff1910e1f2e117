"""The SavedModel format: writing, and running with TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    module.serve = tf.function(served.function, input_signature=[served.signature])
    try:
        # TensorFlow's own variables, not the layers: it would save a Keras variable as two, of which a session of
        # TensorFlow 1, as in the `tensorflow` backend, restores only the one that the graph does not read.
        module.weights = _variables(served, module.serve.get_concrete_function().graph.variables)
        tf.saved_model.save(module, str(path), signatures={_SIGNATURE: module.serve})
    except (ValueError, TypeError, AssertionError, tf.errors.OpError) as error:
        raise ConversionError(
            f"TensorFlow cannot save the network: {reason(error)}", hint="Export only ONNX: --formats onnx"
        ) from error
    make_deterministic(path)


def _variables(served: ServedGraph, used: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Return the variables that a graph uses, in an order that does not depend on the process.

    Args:
        served: The graph.
        used: Its variables: those of Keras, and those that a custom layer has created with TensorFlow.
    """
    of_layers = {id(weight.value): weight.value for layer in served.layers for weight in layer.variables}
    numbers = {id(variable) for variable in used}
    others = sorted((each for each in used if id(each) not in of_layers), key=lambda each: str(each.name))
    return [each for number, each in of_layers.items() if number in numbers] + others


def open_saved_model(path: Path) -> Runner:
    """Load the SavedModel and run its signature, as TensorFlow Serving does."""
    loaded = tf.saved_model.load(str(path))

    def run(images: npt.NDArray[np.float32]) -> Mapping[str, npt.NDArray[Any]]:
        function = loaded.signatures[_SIGNATURE]  # the function alone does not keep the model alive
        (name,) = function.structured_input_signature[1]
        return {key: value.numpy() for key, value in function(**{name: tf.constant(images)}).items()}

    return run
