"""Serving options: invalid values, and options that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from camserve.errors import UsageError
from camserve.serving import Resource, ServingOptions, TensorRT
from camserve.serving.config.named_options import make_options


@pytest.mark.parametrize(
    "invalid",
    [
        {"max_batch_size": 0},
        {"max_batch_size": 2.5},
        {"max_batch_size": True},
        {"max_queue_delay_us": -1},
        {"max_queue_size": -1},
        {"queue_timeout_us": -1},
        {"queue_timeout_action": "drop"},
        {"queue_timeout_override": 1},
        {"preferred_batch_sizes": (0,)},
        {"preferred_batch_sizes": 4},
        {"batch_sizes": (0,)},
        {"batch_sizes": (1, 1)},
        {"batch_sizes": "some"},
        {"batch_sizes": None},
        {"gpu_math": "bf16"},
        {"prefer_nhwc": "on"},
        {"cpu_fallback": None},
        {"priority_levels": -1},
        {"instances": 0},
        {"threads": 0},
        {"inter_threads": 0},
        {"latest_versions": 0},
        {"accelerator": "quantum"},
        {"cudnn_conv_algo_search": "thorough"},
        {"gpu_mem_limit": 0},
        {"arena_extend_strategy": "never"},
        {"warmup": "yes"},
        {"response_cache": None},
        {"versions": "newest"},
        {"versions": (0,)},
        {"versions": ()},
        {"rate_limiter_priority": 0},
        {"rate_limiter_resources": "disk:1"},
        {"rate_limiter_resources": ("disk:1",)},
        {"rate_limiter_resources": (Resource(name="disk", count=0),)},
        {"rate_limiter_resources": (Resource(name="disk"), Resource(name="disk"))},
    ],
)
def test_an_invalid_value_is_named(invalid: dict[str, Any]) -> None:
    (name,) = invalid
    with pytest.raises(UsageError, match=name):
        make_options(invalid)


_TENSORRT = {"accelerator": "tensorrt"}


@pytest.mark.parametrize(
    ("contradiction", "named", "fix"),
    [
        ({"priority_levels": 3}, "default_priority", {"default_priority": 3}),
        ({"priority_levels": 3, "default_priority": 4}, "default_priority", {"default_priority": 2}),
        ({"default_priority": 1}, "priority_levels", {"priority_levels": 1}),
        ({"preferred_batch_sizes": (4, 16)}, "max_batch_size", {"max_batch_size": 16}),
        ({"batch_sizes": (1, 32)}, "batch_sizes", {"max_batch_size": 32}),
        ({"batch_sizes": (1, 8), **_TENSORRT}, "batch_sizes", {"accelerator": "cuda"}),
        ({"batch_sizes": (), "cuda_graphs": True}, "cuda_graphs", {"batch_sizes": (1,)}),
        ({"fuse_conv_bias": True}, "fuse_conv_bias", {"prefer_nhwc": True}),
        ({"gpu_math": "tf32", "accelerator": "none"}, "gpu_math", {"accelerator": "auto"}),
        ({"gpu_math": "tf32", **_TENSORRT}, "gpu_math", {"accelerator": "cuda"}),
        ({"cpu_fallback": False, "accelerator": "cuda"}, "cpu_fallback", {"accelerator": "auto"}),
        ({"gpus": (0,), "accelerator": "none"}, "gpus", {"accelerator": "cuda"}),
        ({"gpus": (0,)}, "gpus", {"accelerator": "tensorrt"}),
        ({"gpus": (1, 1), "accelerator": "cuda"}, "gpus", {"gpus": (1, 2)}),
        ({"gpu_mem_limit": 2**30, "accelerator": "openvino"}, "gpu_mem_limit", {"accelerator": "auto"}),
        ({"tensorrt_precision": "fp16", "accelerator": "cuda"}, "tensorrt_precision", _TENSORRT),
        ({**_TENSORRT, "tensorrt_opt_batch_size": 9}, "tensorrt_opt_batch_size", {"max_batch_size": 9}),
        ({**_TENSORRT, "tensorrt_cache_path": ""}, "tensorrt_cache_path", {"tensorrt_cache_path": "/cache"}),
        ({"versions": "all", "latest_versions": 2}, "latest_versions", {"versions": "latest"}),
        ({**_TENSORRT, "latest_versions": 2}, "tensorrt_engine_cache", {"tensorrt_engine_cache": False}),
        ({**_TENSORRT, "versions": (1, 2)}, "tensorrt_engine_cache", {"versions": (2,)}),
    ],
)
def test_a_contradiction_is_named_and_its_hint_resolves_it(
    contradiction: dict[str, Any], named: str, fix: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        make_options(contradiction)
    assert caught.value.hint
    make_options({**contradiction, **fix})


def test_an_accelerator_must_be_an_instance() -> None:
    name: Any = "cuda"
    with pytest.raises(UsageError, match="accelerator must be an Accelerator, got 'cuda'") as caught:
        ServingOptions(accelerator=name)
    assert "Cuda()" in str(caught.value.hint)


def test_equal_options_compare_equal() -> None:
    optimized = ServingOptions(accelerator=TensorRT(opt_batch_size=4), max_batch_size=4)
    assert optimized == ServingOptions(accelerator=TensorRT(), max_batch_size=4)
    numbers: Any = [1, 2]
    assert ServingOptions(versions=numbers) == ServingOptions(versions=(1, 2))
