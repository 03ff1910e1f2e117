"""OpenVINO settings of a configuration."""

from __future__ import annotations

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.openvino_settings import network_settings
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError


def _config(largest: int = 8, dims: tuple[int, ...] = (8, 8, 3), **parameters: str) -> dict[str, Any]:
    return {
        "name": "toy",
        "max_batch_size": largest,
        "input": [{"name": "image", "data_type": "TYPE_FP32", "dims": [str(side) for side in dims]}],
        "output": [],
        "parameters": {name: {"string_value": value} for name, value in parameters.items()},
    }


def test_a_pinned_configuration_is_read() -> None:
    config = _config(INFERENCE_PRECISION_HINT="bf16", HINT_BF16="YES", INFERENCE_NUM_THREADS="3", NUM_STREAMS="1")
    settings = network_settings(config, kind="CPU")
    assert (settings.precision, settings.threads, settings.sizes, settings.warnings) == ("bf16", 3, (1, 2, 4, 8), ())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "no INFERENCE_PRECISION_HINT: on processors with AMX or AVX512-BF16, OpenVINO computes in bf16"),
        ({"HINT_BF16": "YES"}, "no INFERENCE_PRECISION_HINT"),
        ({"INFERENCE_PRECISION_HINT": "f16"}, "INFERENCE_PRECISION_HINT must be f32 or bf16, got 'f16'"),
        ({"INFERENCE_PRECISION_HINT": "f32", "HINT_BF16": "YES"}, "f32 contradicts HINT_BF16 YES"),
        ({"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "-1"}, "must not be negative, got -1"),
        ({"INFERENCE_PRECISION_HINT": "f32", "batch_sizes": "2,x"}, "batch_sizes must be sizes"),
    ],
)
def test_a_configuration_that_pins_no_precision_or_is_invalid_is_refused(
    parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        network_settings(_config(8, (8, 8, 3), **parameters), kind="CPU")


def test_an_instance_on_a_gpu_is_refused() -> None:
    with pytest.raises(ModelRefusedError, match=r"on the CPU only.*--accelerator none"):
        network_settings(_config(INFERENCE_PRECISION_HINT="f32"), kind="GPU")


def test_several_streams_are_warned_about() -> None:
    config = _config(INFERENCE_PRECISION_HINT="f32", NUM_STREAMS="4", PERFORMANCE_HINT="THROUGHPUT")
    warnings = network_settings(config, kind="CPU").warnings
    assert [warning.partition(",")[0] for warning in warnings] == [
        "ignores NUM_STREAMS 4",
        "ignores PERFORMANCE_HINT THROUGHPUT",
    ]


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (_config(INFERENCE_PRECISION_HINT="f32", batch_sizes="none"), ()),
        (_config(INFERENCE_PRECISION_HINT="f32", batch_sizes="2,4,8"), (2, 4, 8)),
        (_config(1, INFERENCE_PRECISION_HINT="f32"), (1,)),
        (_config(12, INFERENCE_PRECISION_HINT="f32"), (1, 2, 4, 8, 12)),
        (_config(0, INFERENCE_PRECISION_HINT="f32"), ()),
        (_config(8, (-1, 8, 3), INFERENCE_PRECISION_HINT="f32"), ()),
    ],
)
def test_batch_sizes_with_a_network_of_their_own(config: dict[str, Any], sizes: tuple[int, ...]) -> None:
    assert network_settings(config, kind="CPU").sizes == sizes


def test_a_large_model_has_networks_of_the_smallest_and_largest_batch_only() -> None:
    config = _config(32, INFERENCE_PRECISION_HINT="f32")
    assert network_settings(config, kind="CPU", file_size=100 * 2**20).sizes == (1, 32)
    assert network_settings(config, kind="CPU", file_size=10 * 2**20).sizes == (1, 2, 4, 8, 16, 32)
