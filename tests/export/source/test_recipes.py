"""The structure of the recipes, counted independently of Keras."""

from __future__ import annotations

import keras
import pytest

from camserve.export import RECIPES
from camserve.export.source.applications import application, application_names

BOTTLENECKS = (3, 4, 6, 3)


def conv(size: int, inputs: int, outputs: int, *, bias: bool) -> int:
    return size * size * inputs * outputs + (outputs if bias else 0)


def norm(channels: int) -> int:
    return 4 * channels


def block(inputs: int, filters: tuple[int, int, int], *, projected: bool, bias: bool) -> int:
    """Count the parameters of a bottleneck block independently of Keras."""
    first, second, third = filters
    count = conv(1, inputs, first, bias=bias) + conv(3, first, second, bias=bias) + conv(1, second, third, bias=bias)
    count += norm(first) + norm(second) + norm(third)
    return count + (conv(1, inputs, third, bias=bias) + norm(third) if projected else 0)


def stages(*filters: tuple[int, int, int]) -> int:
    count, inputs = 0, 64
    for stage, blocks in zip(filters, BOTTLENECKS, strict=False):
        count += block(inputs, stage, projected=True, bias=True)
        count += (blocks - 1) * block(stage[2], stage, projected=False, bias=True)
        inputs = stage[2]
    return count


def wide_stages() -> int:
    count, inputs = 0, 64
    for first, out, blocks in zip((64, 256, 512, 1024), (256, 512, 1024, 2048), BOTTLENECKS, strict=True):
        count += block(inputs, (first, out // 4, out), projected=True, bias=False)
        count += (blocks - 1) * block(out, (out, out // 4, out), projected=False, bias=False)
        inputs = out
    return count


def stem(channels: int) -> int:
    return conv(7, channels, 64, bias=True) + norm(64)


TWO = ((64, 64, 256), (128, 128, 512))
FOUR = (*TWO, (256, 256, 1024), (512, 512, 2048))
NARROW = (TWO[0], (126, 126, 512), *FOUR[2:])

COUNTS = {
    "resnet50": stem(3) + stages(*FOUR) + 2048 * 1000 + 1000,
    "resnet-mini": stem(1) + stages(*TWO) + 512 * 10 + 10,
    "resnet50-signs": stem(3) + stages(*FOUR) + 2048 * 6 + 6,
    "resnet50-signs-126": stem(3) + stages(*NARROW) + 4 * 2048 * 6 + 6,
    "resnet50-camera": stem(3) + wide_stages() + 2048 * 10 + 10,
}

STAGES = {
    "resnet50": {"conv2": (56, 56, 256), "conv3": (28, 28, 512), "conv4": (14, 14, 1024), "conv5": (7, 7, 2048)},
    "resnet-mini": {"relu1": (14, 14, 64), "stage2": (7, 7, 256), "stage3": (4, 4, 512)},
    "resnet50-signs": {
        "relu1": (32, 32, 64),
        "pool1": (15, 15, 64),
        "stage2": (15, 15, 256),
        "stage3": (8, 8, 512),
        "stage4": (4, 4, 1024),
        "stage5": (2, 2, 2048),
        "avg_pool": (1, 1, 2048),
    },
    "resnet50-signs-126": {
        "stage3": (8, 8, 512),
        "stage4": (4, 4, 1024),
        "stage5": (4, 4, 2048),
        "avg_pool": (2, 2, 2048),
    },
    "resnet50-camera": {
        "relu1": (112, 112, 64),
        "pool1": (56, 56, 64),
        "stage2": (56, 56, 256),
        "stage3": (28, 28, 512),
        "stage4": (14, 14, 1024),
        "stage5": (7, 7, 2048),
        "avg_pool": (1, 1, 2048),
    },
}


@pytest.fixture(scope="module", params=sorted(RECIPES))
def built(request: pytest.FixtureRequest) -> tuple[str, keras.Model]:
    return request.param, RECIPES[request.param].build()


def test_parameter_count_matches_the_structure(built: tuple[str, keras.Model]) -> None:
    name, model = built
    assert model.count_params() == COUNTS[name]


def test_signs_network_has_the_published_parameter_count() -> None:
    model = RECIPES["resnet50-signs"].build()
    fixed = sum(int(keras.ops.size(weight)) for weight in model.non_trainable_weights)
    assert (model.count_params(), fixed) == (23_600_006, 53_120)


def test_each_stage_has_its_shape(built: tuple[str, keras.Model]) -> None:
    name, model = built
    last_of = {
        prefix: [layer for layer in model.layers if layer.name.startswith(prefix)][-1] for prefix in STAGES[name]
    }
    assert {prefix: layer.output.shape[1:] for prefix, layer in last_of.items()} == STAGES[name]


def test_strides_and_paddings_match_the_notebooks() -> None:
    mini = RECIPES["resnet-mini"].build()
    assert mini.get_layer("stage3_block1_1_conv").strides == (2, 2)
    assert mini.get_layer("stage3_block1_0_conv").strides == (2, 2)
    assert mini.get_layer("stage3_block1_2_conv").padding == "same"
    assert mini.get_layer("stage3_block1_1_conv").padding == "valid"
    camera = RECIPES["resnet50-camera"].build()
    assert camera.get_layer("conv1").padding == "same"
    assert camera.get_layer("conv1").use_bias
    assert not any(
        layer.use_bias for layer in camera.layers if isinstance(layer, keras.layers.Conv2D) and layer.name != "conv1"
    )
    assert camera.get_layer("stage2_block2_1_conv").filters == 256


def test_preprocessing_matches_the_input_channels(built: tuple[str, keras.Model]) -> None:
    name, model = built
    assert RECIPES[name].preprocessing.channels == model.input_shape[3]


def test_every_keras_application_is_known_in_any_case() -> None:
    assert application("mobilenetv2").preprocessing.scale == (127.5, 127.5, 127.5)
    classifiers = {name for name in dir(keras.applications) if name[0].isupper()}
    assert classifiers == set(application_names())
