"""SavedModels, as the runtimes of TensorFlow 1 and 2 load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from support.networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.export.formats.saved_model_format import open_saved_model, write_saved_model
from camserve.export.graph.prepare import prepare

IMAGES = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 3)).astype(np.float32)


class Gain(layers.Layer):  # type: ignore[misc]
    """A layer whose weight is a variable of TensorFlow, which Keras does not list."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.gain = tf.Variable(3.0, name="gain")

    def call(self, inputs: Any) -> Any:
        return inputs * self.gain


def in_session(path: Path) -> dict[str, Any]:
    """Run the SavedModel in a session of TensorFlow 1, as the backend does."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(path)).signature_def["serving_default"]
        fetches = {name: tensor.name for name, tensor in signature.outputs.items()}
        answers: dict[str, Any] = session.run(fetches, {signature.inputs["image"].name: IMAGES})
        return answers


def check(model: keras.Model, path: Path) -> None:
    write_saved_model(prepare(model, cam=True, top_k=3, all_classes=False).served, path)
    expected = np.asarray(model(IMAGES, training=False))
    np.testing.assert_allclose(in_session(path)["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(open_saved_model(path)(IMAGES)["probabilities"], expected, atol=1e-6)


def test_a_session_restores_the_weights(tmp_path: Path) -> None:
    check(enliven(small_network(), PRESETS["unit"]), tmp_path / "model")


def test_variables_of_a_custom_layer_are_stored(tmp_path: Path) -> None:
    image = layers.Input((16, 16, 3))
    pooled = layers.GlobalAveragePooling2D()(Gain()(layers.Conv2D(4, 3)(image)))
    check(keras.Model(image, layers.Dense(3, "softmax")(pooled)), tmp_path / "model")
