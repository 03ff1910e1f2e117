from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.errors import HeadError, SourceError
from camserve.export.head import find_linear_head, with_logits
from camserve.export.inference import in_inference_mode
from camserve.export.network import build, trace
from camserve.export.prepare import prepare
from camserve.export.reference import KerasReference, logits_of_maps

IMAGES = np.random.default_rng(2).uniform(0, 1, (4, 16, 16, 3)).astype(np.float32)


def classifier(tail: Any, size: int = 7) -> keras.Model:
    image = layers.Input((size, size, 3))
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(image)
    return keras.Model(image, tail(features), name="classifier")


def pooled(pool: Any, *, classes: int = 3) -> keras.Model:
    return classifier(lambda x: layers.Dense(classes, "softmax", name="classes")(layers.Flatten()(pool(x))))


def pointwise_head(x: Any) -> Any:
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(3, 1, name="classes")(x)
    return layers.Activation("softmax")(layers.Reshape((3,))(x))


HEADS = {
    "global average": pooled(layers.GlobalAveragePooling2D()),
    "average 7x7": pooled(layers.AveragePooling2D(7)),
    "average 2x2, a row and column left over": pooled(layers.AveragePooling2D(2)),
    "average 2x2, padded": pooled(layers.AveragePooling2D(2, padding="same")),
    "average 3x2": pooled(layers.AveragePooling2D((3, 2))),
    "gaps between windows": pooled(layers.AveragePooling2D(2, strides=3)),
    "no pooling": pooled(layers.Identity()),
    "1x1 convolution": classifier(pointwise_head),
    "logits": classifier(lambda x: layers.Dense(3)(layers.GlobalAveragePooling2D()(x))),
    "sigmoid": classifier(lambda x: layers.Dense(3, "sigmoid")(layers.GlobalAveragePooling2D()(x))),
    "softmax layer": classifier(lambda x: layers.Softmax()(layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))),
    "no bias": classifier(lambda x: layers.Dense(3, use_bias=False)(layers.GlobalAveragePooling2D()(x))),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_maps_add_up_to_the_logits(name: str) -> None:
    images = IMAGES[:, :7, :7]
    network, logits, _ = with_logits(in_inference_mode(trace(HEADS[name]))[0])
    head = find_linear_head(network, logits)
    answers = KerasReference(network, logits, head)(images)
    assert answers.maps is not None
    np.testing.assert_allclose(logits_of_maps(answers.maps, head) + head.bias, answers.logits, atol=1e-5)
    np.testing.assert_allclose(answers.probabilities, HEADS[name](images, training=False), atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_the_served_graph_draws_the_maps_that_the_formula_gives(name: str) -> None:
    images = IMAGES[:, :7, :7]
    prepared = prepare(HEADS[name], cam=True, top_k=2, all_classes=True)
    answers, served = prepared.reference(images), prepared.served.function(images)
    assert answers.maps is not None
    np.testing.assert_allclose(served["cam_all"], answers.maps, atol=1e-5)
    chosen = np.take_along_axis(np.asarray(served["cam_all"]), np.asarray(served["cam_class"])[:, :, None, None], 1)
    np.testing.assert_allclose(served["cam"], chosen, atol=1e-6)
    assert (np.asarray(served["cam_class"])[:, 0] == answers.logits.argmax(axis=1)).all()


def test_for_global_average_pooling_the_map_is_the_weighted_sum_of_features() -> None:
    model = enliven(small_network("global-average"), PRESETS["unit"])
    features = keras.Model(model.input, model.get_layer("features").output)(IMAGES, training=False)
    weights = model.get_layer("classes").get_weights()[0]
    prepared = prepare(model, cam=True, top_k=1, all_classes=True)
    expected = np.einsum("bhwk,kc->bchw", np.asarray(features), weights)
    np.testing.assert_allclose(prepared.served.function(IMAGES)["cam_all"], expected, atol=1e-4)


def test_no_more_maps_than_classes_are_served() -> None:
    served = prepare(small_network(classes=2), cam=True, top_k=5, all_classes=False).served
    assert served.cam is not None
    assert served.cam.top_k == 2


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (classifier(lambda x: layers.Dense(3)(layers.Dense(5, "relu", name="deep")(layers.Flatten()(x)))), "'deep'"),
        (pooled(layers.GlobalMaxPooling2D(name="maxpool")), "'maxpool'"),
        (pooled(lambda x: layers.LayerNormalization(name="norm")(layers.GlobalAveragePooling2D()(x))), "'norm'"),
        (pooled(lambda x: layers.ReLU(name="act")(layers.GlobalAveragePooling2D()(x))), "'act'"),
        (pooled(layers.AveragePooling2D(3, strides=2, name="overlap")), "'overlap'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_head_that_is_not_linear_is_refused_by_the_layers_name(model: keras.Model, named: str) -> None:
    with pytest.raises(HeadError, match=named) as refusal:
        prepare(model, cam=True, top_k=5, all_classes=False)
    assert "--no-cam" in str(refusal.value)
    assert prepare(model, cam=False, top_k=5, all_classes=False).served.cam is None


def test_an_activation_that_gives_no_probabilities_is_refused() -> None:
    model = classifier(lambda x: layers.Dense(3, "relu", name="classes")(layers.Flatten()(x)))
    with pytest.raises(SourceError, match="'classes' with activation 'relu'"):
        prepare(model, cam=False, top_k=5, all_classes=False)


def test_a_network_that_gives_a_picture_is_no_classifier() -> None:
    with pytest.raises(SourceError, match=r"a classifier gives \[batch, classes\]"):
        prepare(classifier(lambda x: x), cam=False, top_k=5, all_classes=False)


def test_splitting_the_activation_keeps_the_output() -> None:
    for model in HEADS.values():
        network, _, _ = with_logits(in_inference_mode(trace(model))[0])
        np.testing.assert_allclose(
            build(network)(IMAGES[:, :7, :7]), model(IMAGES[:, :7, :7], training=False), atol=1e-6
        )
