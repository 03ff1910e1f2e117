"""Presets: options by what they are for."""

import os
from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.errors import UsageError
from camserve.serving import ServingOptions
from camserve.serving.config.choices import Backend
from camserve.serving.config.message import build_config, read_options
from camserve.serving.config.presets import PRESETS, HostProfile, host_cores, preset_options, preset_purpose


@pytest.mark.parametrize("backend", ["onnxruntime", "tensorflow"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_suits_every_model(name: str, precision: str, backend: Backend, toy_bundle: Bundle) -> None:
    options = ServingOptions(**preset_options(name, HostProfile(8, precision, backend)))
    if (name, backend) == ("tensorrt", "tensorflow"):
        with pytest.raises(UsageError, match="tensorflow backend"):
            build_config(toy_bundle.contract, toy_bundle.labels, options, backend="tensorflow", precision=precision)
        return
    config = build_config(toy_bundle.contract, toy_bundle.labels, options, backend=backend, precision=precision)
    assert ServingOptions(**read_options(config)) == options


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 6, 8, 16, 64, 192])
def test_presets_of_cpus_take_no_more_threads_than_there_are_cores(cores: int) -> None:
    latency, throughput = (preset_options(name, HostProfile(cores)) for name in ("cpu-latency", "cpu-throughput"))
    assert (latency["instances"], latency["threads"]) == (1, cores)
    taken = throughput["instances"] * throughput["threads"]
    assert taken <= cores < taken + throughput["threads"]


def test_every_preset_says_what_it_is_for_in_a_line() -> None:
    assert all(40 < len(preset_purpose(name)) < 120 for name in PRESETS)


def test_an_unknown_preset_is_met_with_all_of_them() -> None:
    with pytest.raises(UsageError, match="turbo") as caught:
        preset_options("turbo", HostProfile(2))
    assert all(name in str(caught.value.hint) for name in PRESETS)


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("", None)]
)
def test_a_container_with_less_time_has_fewer_cores(limit: str, cores: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert host_cores(tmp_path / "cpu.max") == (cores or len(os.sched_getaffinity(0)))
    assert host_cores(tmp_path / "none") == len(os.sched_getaffinity(0))
