"""Instances that cannot use their GPU."""

from pathlib import Path
from typing import Any

import pytest
from support.libraries import library_that_requires

from camserve.serving.backends.camserve_backend.gpu_obstacles import (
    Obstacle,
    driver_obstacle,
    load_problem,
    refuse_or_warn,
)
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

OBSTACLE = Obstacle("the GPU is elsewhere", "Bring it back")


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    assert load_problem("libm.so.6") is None
    assert load_problem(tmp_path / "libabsent.so") == "libabsent.so is missing"
    library, required = library_that_requires(tmp_path)
    assert load_problem(library) == f"{required} is missing"


def test_other_problems_are_those_of_the_loader(tmp_path: Path) -> None:
    (tmp_path / "libtext.so").write_text("not a library, but longer than the header of one " * 4)
    assert str(load_problem(tmp_path / "libtext.so")).endswith("invalid ELF header")


@pytest.mark.skipif(load_problem("libcuda.so.1") is None, reason="this host has NVIDIA's driver")
def test_a_missing_driver_is_reported() -> None:
    obstacle = driver_obstacle()
    assert obstacle is not None
    assert obstacle.reason == "NVIDIA's driver cannot be loaded: libcuda.so.1 is missing"


@pytest.mark.parametrize("config", [{}, {"parameters": {"cpu_fallback": {"string_value": "0"}}}])
def test_an_instance_without_its_gpu_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelRefusedError) as caught:
        refuse_or_warn(config, "CUDA", OBSTACLE)
    assert str(caught.value) == "a GPU instance requires CUDA, but the GPU is elsewhere; hint: Bring it back"


def test_an_instance_may_fall_back_to_the_cpu() -> None:
    warning = refuse_or_warn({"parameters": {"cpu_fallback": {"string_value": "1"}}}, "CUDA", OBSTACLE)
    assert warning == "runs on the CPU instead of the GPU, since the GPU is elsewhere. Bring it back"
