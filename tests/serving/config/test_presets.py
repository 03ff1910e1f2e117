"""Presets: options by what they are for."""

import os
from pathlib import Path
from typing import get_args

import pytest

from camserve.bundle import Bundle
from camserve.cores import host_cores
from camserve.errors import UsageError
from camserve.serving.config.backends import Backend
from camserve.serving.config.message import build_config, read_options
from camserve.serving.config.named_options import DEFAULTS, make_options
from camserve.serving.config.presets import PRESETS, HostProfile, find_preset, preset_options


@pytest.mark.parametrize("backend", get_args(Backend))
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_suits_every_model(name: str, precision: str, backend: Backend, toy_bundle: Bundle) -> None:
    options = make_options(preset_options(name, HostProfile(8, precision, backend)))
    if (name, backend) == ("tensorrt", "tensorflow"):
        with pytest.raises(UsageError, match="tensorflow backend"):
            build_config(toy_bundle.contract, toy_bundle.labels, options, backend="tensorflow", precision=precision)
        return
    if backend == "openvino" and name in ("gpu", "tensorrt"):
        with pytest.raises(UsageError, match="openvino backend does not support accelerator"):
            build_config(toy_bundle.contract, toy_bundle.labels, options, backend=backend, precision=precision)
        return
    if (name, precision, backend) == ("gpu", "int8", "onnxruntime"):
        with pytest.raises(UsageError, match="int8 model does not suit accelerator cuda"):
            build_config(toy_bundle.contract, toy_bundle.labels, options, precision=precision)
        return
    config = build_config(toy_bundle.contract, toy_bundle.labels, options, backend=backend, precision=precision)
    assert make_options(read_options(config)) == options
    assert find_preset(read_options(config), precision=precision, backend=backend) == name


@pytest.mark.parametrize(
    ("largest", "sizes"), [(None, (1, 8, 32)), (1, (1,)), (8, (1, 8)), (20, (1, 8, 20)), (64, (1, 8, 32, 64))]
)
def test_the_gpu_preset_prepares_sizes_up_to_the_largest_batch(largest: int | None, sizes: tuple[int, ...]) -> None:
    preset = preset_options("gpu", HostProfile(8, largest_batch=largest))
    assert make_options(preset).batch_sizes == preset["batch_sizes"] == sizes


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 6, 8, 16, 64, 192])
def test_cpu_presets_use_no_more_threads_than_cores(cores: int) -> None:
    latency, throughput = (preset_options(name, HostProfile(cores)) for name in ("cpu-latency", "cpu-throughput"))
    assert (latency["instances"], latency["threads"]) == (1, cores)
    taken = throughput["instances"] * throughput["threads"]
    assert taken <= cores < taken + throughput["threads"]


def test_every_preset_has_a_purpose_of_one_line() -> None:
    assert all(40 < len(preset.purpose) < 120 for preset in PRESETS.values())


@pytest.mark.parametrize("cores", [1, 2, 3, 5, 8, 13, 64, 192])
@pytest.mark.parametrize("name", ["cpu-latency", "cpu-throughput"])
def test_a_preset_is_recognized_for_any_number_of_cores(name: str, cores: int) -> None:
    options = {**DEFAULTS, **preset_options(name, HostProfile(cores))}
    assert find_preset(options) == name
    assert find_preset({**options, "max_batch_size": 7}) is None


def test_default_options_are_no_preset() -> None:
    assert find_preset(DEFAULTS) is None


def test_an_unknown_preset_lists_all() -> None:
    with pytest.raises(UsageError, match="turbo") as caught:
        preset_options("turbo", HostProfile(2))
    assert all(name in str(caught.value.hint) for name in PRESETS)


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("", None)]
)
def test_a_cpu_limit_reduces_the_cores(limit: str, cores: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert host_cores(tmp_path / "cpu.max") == (cores or len(os.sched_getaffinity(0)))
    assert host_cores(tmp_path / "none") == len(os.sched_getaffinity(0))
