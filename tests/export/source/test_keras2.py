"""Conversion of Keras 2 models to Keras 3."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from support.networks import build_model

from camserve.errors import ParityError, SourceError
from camserve.export import export_model
from camserve.export.graph.inference import to_float32
from camserve.export.graph.prepare import prepare
from camserve.export.graph.trace import trace
from camserve.export.source import keras2_layers
from camserve.export.source.application_layers import application_layers
from camserve.export.source.archive import is_keras_2_archive
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.keras2 import is_keras_2_hdf5, load_keras_2
from camserve.export.source.keras2_imports import keras_2_imports
from camserve.export.source.load import load_source

pytestmark = pytest.mark.slow

layers = tf_keras.layers

NO_CUSTOM_OBJECTS = CustomObjects((), {})


def classifier(body: Callable[[Any], Any], side: int = 8) -> Any:
    image = layers.Input((side, side, 3))
    return tf_keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(body(image))))


def inner() -> Any:
    image = layers.Input((8, 8, 3))
    return tf_keras.Model(image, layers.BatchNormalization(name="same/norm")(layers.Conv2D(4, 3, name="same")(image)))


def twice() -> Any:
    shared = inner()
    return classifier(lambda x: layers.Add()([shared(x), shared(layers.ReLU()(x))]))


def transferred() -> Any:
    """Put a classifier on a frozen body that tf_keras builds: the blocks of its ResNet50, of which two are enough."""
    family = importlib.import_module(tf_keras.applications.ResNet50.__module__)

    def stages(x: Any) -> Any:
        return family.stack1(x, 8, 2, stride1=1, name="conv2")

    body = family.ResNet(stages, False, True, include_top=False, weights=None, input_shape=(32, 32, 3))
    body.trainable = False
    return classifier(lambda x: body(x, training=False), side=32)


def zoo(x: Any) -> Any:
    for layer in (
        *(layers.Rescaling(2.0), layers.Resizing(12, 12), layers.Conv2D(4, 3, groups=1), layers.LeakyReLU(0.2)),
        *(layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(3), layers.Conv2DTranspose(4, 3), layers.PReLU()),
        *(layers.UpSampling2D(2), layers.ZeroPadding2D(1), layers.LayerNormalization(), layers.SpatialDropout2D(0.1)),
    ):
        x = layer(x)
    return x


MODELS: dict[str, Callable[[], Any]] = {
    "flat": lambda: classifier(zoo),
    "nested functional": lambda: classifier(inner()),
    "nested sequential": lambda: classifier(tf_keras.Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 3))])),
    "deeply nested": lambda: classifier(tf_keras.Sequential([tf_keras.Sequential([inner()])])),
    "equal names": lambda: classifier(lambda x: layers.Concatenate()([inner()(x), inner()(x)])),
    "called twice": twice,
    "sequential of models": lambda: tf_keras.Sequential([inner(), layers.Flatten(), layers.Dense(3)]),
    "augmentation": lambda: classifier(lambda x: inner()(tf_keras.Sequential([layers.RandomFlip()])(x))),
    "transfer learning": transferred,
}


@pytest.mark.parametrize("name", MODELS)
def test_converted_model_keeps_its_outputs(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    images = np.random.default_rng(9).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "model.h5")
    loaded = load_keras_2(tmp_path / "model.h5", NO_CUSTOM_OBJECTS)
    np.testing.assert_allclose(loaded.model.predict(images, verbose=0), expected, atol=1e-6)
    assert loaded.predict is not None
    np.testing.assert_allclose(loaded.predict(images), expected, atol=1e-6)


def test_keras_version_is_read_from_the_file(tmp_path: Path) -> None:
    classifier(inner()).save(tmp_path / "old.h5")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "new.h5")
    assert is_keras_2_hdf5(tmp_path / "old.h5")
    assert not is_keras_2_hdf5(tmp_path / "new.h5")
    classifier(inner()).save(tmp_path / "old.keras")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "new.keras")
    assert is_keras_2_archive(tmp_path / "old.keras")
    assert not is_keras_2_archive(tmp_path / "new.keras")


def rewrite_config(path: Path, change: Callable[[str], str]) -> Path:
    """Change the architecture in an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = change(members["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("module", ["tf_keras.src.engine", "keras.src.engine", "keras.engine"])
@pytest.mark.parametrize("name", ["flat", "deeply nested", "called twice"])
def test_converted_archive_keeps_its_outputs(name: str, module: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    images = np.random.default_rng(8).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    model.save(tmp_path / "model.keras")
    path = rewrite_config(tmp_path / "model.keras", lambda config: config.replace("tf_keras.src.engine", module))
    loaded = load_source(path).model
    assert isinstance(loaded, keras.Model)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)


def test_keras_2_archive_with_code_is_refused(tmp_path: Path) -> None:
    classifier(inner()).save(tmp_path / "model.keras")

    def attack(config: str) -> str:
        network = json.loads(config)
        network["config"]["layers"][-1]["config"]["activation"] = FUNCTION_OF_OS
        return json.dumps(network)

    with pytest.raises(SourceError, match=r"'system' from module 'os'"):
        load_source(rewrite_config(tmp_path / "model.keras", attack))


FUNCTION_OF_OS = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model"])
def test_conversion_prints_no_warnings(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MODELS["nested sequential"]().save(str(tmp_path / name))
    capfd.readouterr()
    loaded = load_source(tmp_path / name).model
    loaded(np.zeros((1, 8, 8, 3), np.float32))
    assert capfd.readouterr().err == ""
    with pytest.warns(UserWarning, match="input_shape"):  # warnings are enabled again
        keras.Sequential([keras.layers.Conv2D(4, 3, input_shape=(8, 8, 3))])


def weighted(model: Any) -> Any:
    """Give a model random weights, so that no layer is left at its initial values, and return it."""
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    return model


SUFFIXES = (".h5", ".keras", "")
"""HDF5, the archive of Keras 3's format, and the folder of a SavedModel."""


def assert_same_answers(model: Any, folder: Path, suffix: str, **options: Any) -> None:
    """Save a model of Keras 2, load it as a source, and compare the answers of both libraries."""
    path = folder / f"model{suffix}"
    images = np.random.default_rng(4).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    expected = model.predict(images, verbose=0)
    model.save(str(path), **({} if suffix else {"save_format": "tf"}))
    source = load_source(path, **options)
    np.testing.assert_allclose(np.asarray(source.model(images, training=False)), expected, atol=1e-5)
    assert source.predict is not None
    np.testing.assert_allclose(source.predict(images), expected, atol=1e-5)


LAYERS: dict[str, Callable[[], Any]] = {
    "Softmax over positions": lambda: layers.Softmax(axis=[1, 2]),
    "UnitNormalization over positions": lambda: layers.UnitNormalization(axis=[1, 2]),
    "LayerNormalization over all axes": lambda: layers.LayerNormalization(axis=[1, 2, 3]),
    "GroupNormalization": lambda: layers.GroupNormalization(3),
    "BatchNormalization without scale": lambda: layers.BatchNormalization(scale=False, epsilon=0.01),
    "SyncBatchNormalization": layers.experimental.SyncBatchNormalization,
    "Normalization": lambda: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]),
    "inverted Normalization": lambda: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], invert=True),
    "Rescaling by channel": lambda: layers.Rescaling([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]),
    "ReLU": lambda: layers.ReLU(6.0, 0.1, 0.05),
    "ThresholdedReLU": lambda: layers.ThresholdedReLU(0.1),
    "PReLU": lambda: layers.PReLU(shared_axes=[1, 2]),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    "grouped Conv2D": lambda: layers.Conv2D(6, 3, strides=2, padding="same", groups=3, use_bias=False),
    "Conv2D with a regularizer": lambda: layers.Conv2D(4, 3, kernel_regularizer="l2", kernel_constraint="non_neg"),
    "SeparableConv2D": lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(4, 3, 2, "same"),
    "Resizing": lambda: layers.Resizing(10, 12, interpolation="nearest", crop_to_aspect_ratio=True),
    "UpSampling2D": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "UpSampling2D with a filter that Keras 3 lacks": lambda: layers.UpSampling2D(2, interpolation="gaussian"),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(((1, 2), (3, 0))),
    "EinsumDense": lambda: layers.EinsumDense("bhwc,cd->bhwd", output_shape=(None, None, 5), bias_axes="d"),
    "RandomRotation": lambda: layers.RandomRotation(0.1),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5),
    "LayerScale of ConvNeXt": lambda: application_layers(tf_keras)["LayerScale"](1e-6, 3),
    "StochasticDepth of ConvNeXt": lambda: application_layers(tf_keras)["StochasticDepth"](0.5),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Conv1D(4, 3)),
    "BatchNormalization with renorm": lambda: layers.BatchNormalization(renorm=True),
    "Activation of a layer": lambda: layers.Conv2D(4, 3, activation=layers.LeakyReLU(0.2)),
    "LSTM": lambda: tf_keras.Sequential(
        [layers.Reshape((2, 384)), layers.LSTM(5, recurrent_activation="hard_sigmoid"), layers.Reshape((1, 1, 5))]
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_keeps_its_outputs(name: str, tmp_path: Path) -> None:
    assert_same_answers(weighted(classifier(LAYERS[name](), side=16)), tmp_path, ".h5")


def test_layer_that_keras_3_lacks_may_be_called_with_training(tmp_path: Path) -> None:
    layer = layers.TimeDistributed(layers.Conv1D(4, 3))
    assert_same_answers(weighted(classifier(lambda x: layer(x, training=False))), tmp_path, ".h5")


@pytest.mark.parametrize("suffix", [".keras", ""])
@pytest.mark.parametrize(
    "name", ["Softmax over positions", "Normalization", "LayerScale of ConvNeXt", "TimeDistributed"]
)
def test_layer_keeps_its_outputs_in_other_formats(name: str, suffix: str, tmp_path: Path) -> None:
    assert_same_answers(weighted(classifier(LAYERS[name](), side=16)), tmp_path, suffix)


@pytest.mark.parametrize(
    "activation", ["hard_sigmoid", "gelu", "swish", "mish", "selu", "softsign", "exponential", "elu"]
)
def test_activation_keeps_its_outputs(activation: str, tmp_path: Path) -> None:
    model = weighted(classifier(lambda x: layers.Activation(activation)(layers.Conv2D(4, 3, activation=activation)(x))))
    assert_same_answers(model, tmp_path, ".h5")


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "x / 127.5 - 1": lambda x: x / 127.5 - 1.0,
    "1 / (x + 2)": lambda x: 1.0 / (x + 2.0),
    "x * gate": lambda x: x * tf.sigmoid(layers.Conv2D(3, 1)(x)),
    "shortcut": lambda x: tf.nn.relu(layers.Conv2D(3, 1)(x) + x),
    "slices": lambda x: x[:, 1:-1, ::2, ::-1],
    "concat": lambda x: tf.concat([x, x], axis=1),
    "reduce_mean": lambda x: tf.reduce_mean(x, axis=[1, 2], keepdims=True),
    "reshape to its shape": lambda x: tf.reshape(x, [tf.shape(x)[0], 8, 8, 3]),
    "matmul with a constant": lambda x: tf.matmul(x, tf.ones((3, 4))),
    "where": lambda x: tf.where(x > 0.5, x, x * 2),
    "image.resize": lambda x: tf.image.resize(x, (12, 12)),
    "gray": lambda x: tf.image.rgb_to_grayscale(x) / tf.norm(x, axis=-1, keepdims=True),
    "preprocess_input, tf": tf_keras.applications.mobilenet_v2.preprocess_input,
    "preprocess_input, torch": tf_keras.applications.densenet.preprocess_input,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_keeps_its_outputs(name: str, tmp_path: Path) -> None:
    assert_same_answers(weighted(classifier(OPERATIONS[name])), tmp_path, ".h5")


@pytest.mark.parametrize("suffix", [".keras", ""])
@pytest.mark.parametrize("name", ["x / 127.5 - 1", "shortcut", "slices", "where"])
def test_operation_keeps_its_outputs_in_other_formats(name: str, suffix: str, tmp_path: Path) -> None:
    assert_same_answers(weighted(classifier(OPERATIONS[name])), tmp_path, suffix)


def test_caffe_preprocessing_keeps_its_outputs(tmp_path: Path) -> None:
    assert_same_answers(weighted(classifier(tf_keras.applications.resnet50.preprocess_input)), tmp_path, ".h5")


def test_model_of_tf_keras_in_memory_is_refused() -> None:
    with pytest.raises(SourceError, match="got a Functional of tf_keras"):
        load_source(classifier(inner()))


def test_operation_that_reads_files_is_refused(tmp_path: Path) -> None:
    weighted(classifier(lambda x: x * 2.0)).save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace("math.multiply", "io.read_file")
    with pytest.raises(SourceError, match=r"the TensorFlow operation 'io\.read_file' \(layer 'tf\."):
        load_source(tmp_path / "model.h5")


OWN_LAYERS = """
class Block({layers}.Layer):
    def __init__(self, filters, mean=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.mean = filters, mean
        self.first, self.norm, self.second = (
            {layers}.Conv2D(filters, 3), {layers}.BatchNormalization(), {layers}.Conv2D(filters, 3)
        )

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(self.filters,), initializer="ones")
        super().build(shape)

    def call(self, x, training=None):
        return self.second(bent(self.norm(self.first(x - self.mean), training=training))) * self.scale

    def get_config(self):
        return {{**super().get_config(), "filters": self.filters, "mean": self.mean}}


class DepthwiseConv2D({layers}.DepthwiseConv2D):
    def __init__(self, **kwargs):
        kwargs.pop("groups", None)
        super().__init__(**kwargs)


class FixedDropout({layers}.Dropout):
    def _get_noise_shape(self, inputs):
        return self.noise_shape


def bent(x):
    return {relu}(x) - 0.1 * x
"""

IMPORTS = {
    "keras": ("import keras", "keras.layers", "keras.activations.relu"),
    "Keras 3's names": ("from keras import layers, ops", "layers", "ops.relu"),
    "tf.keras": ("import tensorflow as tf", "tf.keras.layers", "tf.nn.relu"),
    "tensorflow.keras": (
        "from tensorflow.keras import layers\nfrom tensorflow.keras import backend as K",
        *("layers", "K.relu"),
    ),
    "tf_keras": ("import tf_keras", "tf_keras.layers", "tf_keras.activations.relu"),
}
"""How a module of the user imports Keras."""


def own_module(folder: Path, imports: str) -> Any:
    """Write a module of the user, and return it as Keras 2 would have imported it."""
    statement, names, relu = IMPORTS[imports]
    (folder / "own_layers_of_keras_2.py").write_text(
        f"{statement}\n{OWN_LAYERS.format(layers=names, relu=relu)}", encoding="utf-8"
    )
    importlib.invalidate_caches()
    with keras_2_imports(["own_layers_of_keras_2"]):
        return importlib.import_module("own_layers_of_keras_2")


def with_own_layers(own: Any) -> Any:
    image = layers.Input((8, 8, 3))
    features = own.DepthwiseConv2D(kernel_size=3)(own.Block(4, mean=0.7)(image))
    backbone = tf_keras.Model(image, layers.Activation(own.bent)(layers.BatchNormalization()(features)))
    image = layers.Input((8, 8, 3))
    features = own.FixedDropout(0.5)(layers.GlobalAveragePooling2D()(backbone(image)))
    model = weighted(tf_keras.Model(image, layers.Dense(3, "softmax")(features)))
    backbone.trainable = False  # Keras 2 stores the weights in another order then
    return model


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_own_layers_keep_their_outputs(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    model = with_own_layers(own_module(tmp_path, "tensorflow.keras"))
    assert_same_answers(model, tmp_path, suffix, custom_objects=["own_layers_of_keras_2"])


@pytest.mark.parametrize("imports", IMPORTS)
def test_modules_of_the_user_get_tf_keras(imports: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(sys.modules)
    own = own_module(tmp_path, imports)
    assert issubclass(own.Block, tf_keras.layers.Layer)
    np.testing.assert_allclose(own.bent(tf.constant([-1.0, 2.0])), [0.1, 1.8], atol=1e-6)
    assert "own_layers_of_keras_2" not in sys.modules
    assert all(sys.modules[name] is module for name, module in before.items()), "imports are as before"


def test_own_layers_that_only_change_settings_become_keras_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with_own_layers(own_module(tmp_path, "keras")).save(tmp_path / "model.h5")
    model = load_source(tmp_path / "model.h5", custom_objects=["own_layers_of_keras_2"]).model
    assert [step.kind for step in trace(model).steps] == [
        *("Keras2Layer", "DepthwiseConv2D", "BatchNormalization", "Activation", "GlobalAveragePooling2D", "Dense")
    ]


@pytest.mark.parametrize("dtype", ["mixed_float16", "float64"])
def test_layer_of_keras_2_is_computed_in_float32(dtype: str, tmp_path: Path) -> None:
    image = layers.Input((8, 8, 3), dtype="float64" if dtype == "float64" else None)
    features = layers.LocallyConnected2D(2, 7, dtype=dtype)(image)
    features = layers.Flatten(dtype="float32")(features)
    model = weighted(tf_keras.Model(image, layers.Dense(3, "softmax")(features)))
    model.save(tmp_path / "model.keras")
    network = to_float32(trace(load_source(tmp_path / "model.keras").model))
    images = np.random.default_rng(5).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    assert {step.operation.compute_dtype for step in network.steps} == {"float32"}
    np.testing.assert_allclose(build_model(network)(images), model.predict(images, verbose=0), atol=1e-2)


def test_layer_that_keras_3_lacks_is_exported_in_both_formats(tmp_path: Path) -> None:
    body = layers.TimeDistributed(layers.Conv1D(4, 3, name="local"))
    weighted(classifier(body)).save(tmp_path / "model.keras")
    bundle = export_model(tmp_path / "model.keras", tmp_path / "out", preprocessing="unit", resize="bilinear")
    assert {path.name for path in bundle.path.iterdir()} >= {"model.onnx", "saved_model"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_loaded(policy: str, suffix: str, tmp_path: Path) -> None:
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model = classifier(lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(x))))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    model.save(str(tmp_path / f"model{suffix}"), **({} if suffix else {"save_format": "tf"}))
    source = load_source(tmp_path / f"model{suffix}")
    images = np.random.default_rng(5).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    assert source.model.layers[1].dtype_policy.name == policy
    actual, expected = (tf.cast(each(images), tf.float32) for each in (source.model, model))
    np.testing.assert_allclose(actual, expected, atol=1e-2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_initializer_of_tensorflow_is_accepted(suffix: str, tmp_path: Path) -> None:
    initializer = tf.constant_initializer(0.5)  # as in the EfficientNetV2 of tf_keras
    assert_same_answers(classifier(layers.Conv2D(4, 3, bias_initializer=initializer)), tmp_path, suffix)


@pytest.mark.parametrize("suffix", [".h5", ""])
def test_model_built_for_training_is_compared_in_inference_mode(suffix: str, tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        norm = layers.BatchNormalization(name="norm")
        image = layers.Input((8, 8, 3))
        inner = tf_keras.Model(image, layers.Dropout(0.5, name="noise")(layers.ReLU()(norm(image))))
        return inner(layers.GaussianNoise(0.5, name="quiet")(x, training=False), training=True)

    model = weighted(classifier(body))
    images = np.random.default_rng(7).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)
    expected = model.layers[-1](tf.reduce_mean(tf.nn.relu(norm_by_moving_statistics(model, images)), (1, 2)))
    model.save(str(tmp_path / f"model{suffix}"), **({} if suffix else {"save_format": "tf"}))
    assert np.abs(model.predict(images, verbose=0) - expected).max() > 1e-3, "predict normalizes by the batch"
    source = load_source(tmp_path / f"model{suffix}")
    assert source.predict is not None
    np.testing.assert_allclose(source.predict(images), expected, atol=1e-5)
    prepared = prepare(source.model, cam=True, top_k=3, all_classes=False, predict=source.predict)
    np.testing.assert_allclose(prepared.reference(images).probabilities, expected, atol=1e-5)
    assert (prepared.trained.norms, prepared.trained.noise) == (("norm",), ("noise",))
    assert [warning.partition(":")[0] for warning in prepared.warnings] == [
        "1 BatchNorm layer called with training=True in the model (norm)",
        "1 dropout or noise layer called with training=True in the model (noise)",
    ]


def norm_by_moving_statistics(model: Any, images: Any) -> Any:
    (norm,) = (layer for nested in model.layers for layer in getattr(nested, "layers", ()) if layer.name == "norm")
    return norm(images, training=False)


def test_wrong_conversion_fails_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    model = classifier(layers.Conv2D(4, 3, activation="hard_sigmoid"))
    model.layers[1].set_weights([rng.normal(0, 0.3, (3, 3, 3, 4)), rng.normal(0, 1, 4)])  # between the two flat ends
    model.layers[-1].set_weights([rng.normal(0, 9, (4, 3)), np.zeros(3)])
    model.save(tmp_path / "model.h5")
    export_model(tmp_path / "model.h5", tmp_path / "right", preprocessing="unit", resize="nearest", formats="onnx")
    monkeypatch.setattr(keras2_layers, "hard_sigmoid_of_keras_2", keras.activations.hard_sigmoid)
    with pytest.raises(ParityError, match="network"):
        export_model(tmp_path / "model.h5", tmp_path / "wrong", preprocessing="unit", resize="nearest", formats="onnx")
