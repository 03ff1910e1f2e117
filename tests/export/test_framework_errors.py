"""Short messages from the exceptions of frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from camserve.export.framework_errors import reason

TRACEBACK = """in user code:

    File "/somewhere/served.py", line 81, in function  *
        image = preprocess(image, pixels)

    ValueError: 'conv 1/' is not a valid root scope name.
"""


def test_cause_below_a_traceback_is_returned() -> None:
    assert reason(ValueError(TRACEBACK)) == "'conv 1/' is not a valid root scope name"


def test_first_line_is_returned_without_a_traceback() -> None:
    assert reason(ValueError("Invalid shape.\nExpected 3 dimensions.")) == "Invalid shape"
    assert reason(ValueError()) == "ValueError"


def test_long_message_is_shortened() -> None:
    assert reason(TypeError("Could not do it. Full object config: {'a': 1}")) == "Could not do it"
    assert len(reason(ValueError("long " * 1000))) <= 201


def test_address_of_an_object_is_left_out() -> None:
    assert reason(ValueError("bad layer <keras.src.Own object at 0x7f3a>")) == "bad layer Own"


def test_message_of_a_layer_is_returned_without_the_note_of_keras() -> None:
    class Picky(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            raise TypeError("float32 only")

    with pytest.raises(TypeError) as raised:
        Picky()(np.zeros((1, 2)))
    assert reason(raised.value) == "float32 only"


def test_innermost_layer_is_named_without_the_configuration_of_the_model(tmp_path: Path) -> None:
    dense = keras.layers.Dense(2, name="classes")
    config = {**dense.get_config(), "surprise": 3}
    with pytest.raises(TypeError) as raised:
        keras.layers.deserialize({"module": "keras.layers", "class_name": "Dense", "config": config})
    assert reason(raised.value) == (
        "layer 'classes' (Dense): Unrecognized keyword arguments passed to Dense: {'surprise': 3}"
    )
    keras.Sequential([keras.Input((4,)), dense]).save_weights(tmp_path / "own.weights.h5")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="classes")])
    with pytest.raises(ValueError, match="could not be loaded") as raised_value:
        other.load_weights(tmp_path / "own.weights.h5")
    assert reason(raised_value.value).startswith("layer 'classes' (Dense): The shape of the target variable")
