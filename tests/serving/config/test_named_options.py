"""Serving options by name: parsed, checked, combined, and made into `ServingOptions`."""

from __future__ import annotations

from typing import Any

import pytest

from camserve.errors import UsageError
from camserve.serving import Auto, Cpu, Cuda, Resource, ServingOptions, TensorRT
from camserve.serving.config.accelerator_options import ACCELERATORS
from camserve.serving.config.named_options import (
    DEFAULTS,
    OPTIONS,
    accelerators_with,
    changed_options,
    format_value,
    make_options,
    parse_settings,
)
from camserve.serving.config.option import declared


def named_values(options: ServingOptions) -> dict[str, Any]:
    """Return the value of every option by name; options that the accelerator lacks have their defaults."""
    accelerator = options.accelerator
    parts = [(options, declared(options)), (accelerator, declared(accelerator))]
    values = {option.name: getattr(part, field) for part, fields in parts for field, option in fields.items()}
    return {**DEFAULTS, **values, "accelerator": accelerator.name}


_STRICT_AUTO = Auto(gpu_math="tf32", cpu_fallback=False)
_FIXED_CUDA = ServingOptions(accelerator=Cuda(), batch_sizes=(1, 8))
_TENSORRT = ServingOptions(accelerator=TensorRT(gpus=(0,), precision="fp16", gpu_mem_limit=2**30))


@pytest.mark.parametrize(
    ("name", "hint"), [("max_batch", "Did you mean 'max_batch_size'?"), ("xyz", "The options are: max_batch_size, ")]
)
def test_an_unknown_name_suggests_the_nearest_or_lists_all(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown serving option '{name}'") as caught:
        make_options({name: 8})
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize("options", [ServingOptions(), _TENSORRT, ServingOptions(accelerator=Cpu(), threads=3)])
def test_options_survive_the_way_over_their_names(options: ServingOptions) -> None:
    assert set(named_values(options)) == set(OPTIONS)
    assert make_options(named_values(options)) == options


def test_the_defaults_by_name_are_those_of_serving_options() -> None:
    assert named_values(ServingOptions()) == DEFAULTS
    assert make_options({}) == ServingOptions()


def test_every_option_says_which_accelerators_have_it() -> None:
    assert accelerators_with("max_batch_size") == ()
    assert accelerators_with("gpu_mem_limit") == ("auto", "cuda", "tensorrt")
    assert accelerators_with("gpus") == ("cuda", "tensorrt")
    assert accelerators_with("gpu_math") == ("auto", "cuda")
    assert accelerators_with("cpu_fallback") == ("auto",)
    assert accelerators_with("batch_sizes") == ()
    assert accelerators_with("tensorrt_timing_cache") == ("tensorrt",)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_an_accelerator_is_chosen_by_name(name: str) -> None:
    assert make_options({"accelerator": name}) == ServingOptions(accelerator=ACCELERATORS[name]())


def test_options_that_are_not_changed_stay() -> None:
    current = ServingOptions(max_batch_size=4, threads=2, priority_levels=2, default_priority=1)
    changed = changed_options(named_values(current), {"threads": 3})
    assert changed == ServingOptions(max_batch_size=4, threads=3, priority_levels=2, default_priority=1)


@pytest.mark.parametrize(
    ("current", "changes", "expected"),
    [
        (_TENSORRT, {"accelerator": "cuda"}, ServingOptions(accelerator=Cuda(gpus=(0,), gpu_mem_limit=2**30))),
        (_TENSORRT, {"accelerator": "none"}, ServingOptions(accelerator=Cpu())),
        (ServingOptions(batch_sizes=(1, 8)), {"accelerator": "tensorrt"}, ServingOptions(accelerator=TensorRT())),
        (ServingOptions(batch_sizes=(1, 8)), {"accelerator": "cuda"}, _FIXED_CUDA),
        (
            ServingOptions(batch_sizes=(1, 8)),
            {"max_batch_size": 32},
            ServingOptions(max_batch_size=32, batch_sizes=(1, 8)),
        ),
        (ServingOptions(accelerator=Auto(gpu_math="tf32")), {"accelerator": "none"}, ServingOptions(accelerator=Cpu())),
        (
            ServingOptions(accelerator=Auto(cpu_fallback=False)),
            {"accelerator": "cuda"},
            ServingOptions(accelerator=Cuda()),
        ),
        (_TENSORRT, {"max_batch_size": 4}, ServingOptions(accelerator=_TENSORRT.accelerator, max_batch_size=4)),
        (ServingOptions(latest_versions=3), {"versions": "all"}, ServingOptions(versions="all")),
        (ServingOptions(versions=(4,)), {"latest_versions": 2}, ServingOptions(latest_versions=2)),
        (ServingOptions(priority_levels=2, default_priority=2), {"priority_levels": 0}, ServingOptions()),
    ],
)
def test_options_that_lose_their_meaning_return_to_their_defaults(
    current: ServingOptions, changes: dict[str, Any], expected: ServingOptions
) -> None:
    assert changed_options(named_values(current), changes) == expected


def test_changes_that_contradict_current_options_are_rejected() -> None:
    current = named_values(ServingOptions(preferred_batch_sizes=(8,)))
    with pytest.raises(UsageError, match="preferred_batch_sizes"):
        changed_options(current, {"max_batch_size": 4})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *DEFAULTS.items(),
        ("preferred_batch_sizes", (4, 8)),
        ("threads", 3),
        ("gpus", (0, 2)),
        ("queue_timeout_override", True),
        ("do_copy_in_default_stream", False),
        ("batch_sizes", ()),
        ("batch_sizes", (1, 8, 32)),
        ("gpu_math", "unset"),
        ("prefer_nhwc", False),
        ("versions", "all"),
        ("versions", (3, 5)),
        ("rate_limiter_resources", (Resource(name="disk", count=2), Resource(name="link", shared=True))),
    ],
)
def test_formatted_values_parse_to_equal_values(name: str, value: Any) -> None:
    assert parse_settings([f"{name}={format_value(value)}"]) == {name: value}


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("4k", 4096), ("2G", 2**31), ("3 MiB", 3 * 2**20)])
def test_sizes_accept_units(text: str, size: int) -> None:
    assert parse_settings([f"gpu_mem_limit={text}"]) == {"gpu_mem_limit": size}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("max_queue_size", "expected NAME=VALUE, got 'max_queue_size'. Pass e.g. --set max_queue_size=64"),
        ("max_queue_sise=3", "unknown serving option 'max_queue_sise'. Did you mean 'max_queue_size'?"),
        (
            "max_queue_size=many",
            "max_queue_size must be a whole number, got 'many'. Pass e.g. max_queue_size=64",
        ),
        ("max_queue_size=8K", "max_queue_size must be a whole number, got '8K'"),
        (
            "response_cache=perhaps",
            "response_cache must be on or off, got 'perhaps'. Pass e.g. response_cache=on",
        ),
        (
            "versions=newest",
            "versions must be latest, all or version numbers, got 'newest'. Pass e.g. versions=3,5",
        ),
        ("gpus=first", "gpus must be whole numbers separated by commas, got 'first'. Pass e.g. gpus=0,1"),
        (
            "gpu_mem_limit=much",
            "gpu_mem_limit must be a size in bytes, got 'much'. Pass e.g. gpu_mem_limit=8G",
        ),
        (
            "batch_sizes=large",
            "batch_sizes must be auto, none or batch sizes separated by commas, got 'large'. Pass e.g. "
            "batch_sizes=1,8,32",
        ),
        ("batch_sizes=", "batch_sizes must be auto, none or batch sizes separated by commas, got ''. Pass e.g. "),
        ("rate_limiter_resources=disk:2:mine", "expected rate_limiter_resources=name:count, got 'disk:2:mine'"),
    ],
)
def test_an_invalid_setting_is_explained(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings([setting])
    assert str(caught.value).startswith(message)


def test_a_later_setting_takes_precedence() -> None:
    assert parse_settings(["threads=2", "threads = 4"]) == {"threads": 4}


def test_help_of_the_classes_describes_every_option() -> None:
    assert all(f"    {name}: {OPTIONS[name].help}" in str(ServingOptions.__doc__) for name in ("threads", "warmup"))
    assert f"    precision: {OPTIONS['tensorrt_precision'].help}" in str(TensorRT.__doc__)
