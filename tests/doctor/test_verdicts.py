"""What a host is ready for, and what is broken, by the facts about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.hosts import GPU_HOST, LAPTOP, NO_GPU, NO_PROVIDER, host_with, runtime

from camserve.bundle import Bundle
from camserve.doctor import PURPOSES, Host, find_faults, judge
from camserve.doctor.embedded_triton import EmbeddedTriton
from camserve.doctor.export_tools import ExportTools
from camserve.doctor.gpus import Gpu, Gpus
from camserve.doctor.memory import Memory
from camserve.doctor.openvino import OpenVino
from camserve.doctor.problem import Problem
from camserve.serving.server.host_memory import ENLARGE_SHARED_MEMORY

MEGABYTE = 2**20
BROKEN = Problem("libcudnn.so.9 is missing", "Install CUDA's libraries: pip ...")
CUDA_12 = (
    "Install one for CUDA 12: pip uninstall --yes onnxruntime-gpu nvidia-cudnn-cu13 "
    "&& pip install 'camserve[server-gpu]' 'onnxruntime-gpu<1.27'"
)


def ready(host: Host) -> set[str]:
    return {purpose for purpose in PURPOSES if judge(purpose, host).ready}


def whats(host: Host, purpose: str) -> list[str]:
    return [problem.what for problem in judge(purpose, host).missing]


def test_a_laptop_serves_on_its_cpu_and_has_no_fault() -> None:
    host = host_with(LAPTOP)
    assert ready(host) == {"clients", "export", "serve-cpu", "int8-cpu"}
    assert whats(host, "serve-gpu") == [
        "no GPU of NVIDIA was found: nvidia-smi is not on the PATH",
        NO_PROVIDER.what,
    ]
    assert find_faults(host) == []


def test_a_gpu_host_is_ready_for_everything() -> None:
    host = host_with(GPU_HOST)
    assert ready(host) == set(PURPOSES)
    assert judge("serve-gpu", host).note == "NVIDIA H100 80GB HBM3"
    assert find_faults(host) == []


def test_a_purpose_needs_only_its_own_facts() -> None:
    facts = {name: LAPTOP[name] for name in ("triton", "memory", "on_cpu")}
    host = host_with(facts)
    assert judge("serve-cpu", host).ready
    assert vars(host).keys() == facts.keys()


def test_onnxruntime_gpu_without_a_gpu_is_not_ready_and_no_fault() -> None:
    problem = Problem("NVIDIA's driver cannot be loaded: libcuda.so.1 is missing", "Install the driver")
    host = host_with(GPU_HOST, gpus=NO_GPU, on_cuda=runtime("onnxruntime-gpu", cuda="13.0", problem=problem))
    assert not judge("serve-gpu", host).ready
    assert judge("serve-cpu", host).ready
    assert find_faults(host) == []


def test_cuda_that_is_listed_and_fails_on_a_gpu_is_a_fault() -> None:
    host = host_with(GPU_HOST, on_cuda=runtime("onnxruntime-gpu", cuda="13.0", problem=BROKEN))
    assert whats(host, "serve-gpu") == [BROKEN.what]
    assert find_faults(host) == [Problem(f"ONNX Runtime lists CUDA and cannot use it: {BROKEN.what}", BROKEN.remedy)]


@pytest.mark.parametrize(
    ("gpus", "what"),
    [
        (
            Gpus((Gpu("NVIDIA A100", 40960, "8.0"),), "550.54.15", "12.4", None, None),
            "the driver 550.54.15 supports CUDA 12.4, too old for onnxruntime-gpu 1.31.1, which is built for CUDA 13",
        ),
        (
            Gpus((Gpu("Tesla V100", 16384, "7.0"),), "580.95.05", "13.0", None, None),
            "Tesla V100 has the compute capability 7.0, too low for onnxruntime-gpu 1.31.1, which is built for CUDA 13",
        ),
    ],
)
def test_an_old_driver_or_gpu_is_named_with_the_version_that_fits(gpus: Gpus, what: str) -> None:
    failed = runtime("onnxruntime-gpu", cuda="13.0", problem=BROKEN)
    host = host_with(GPU_HOST, gpus=gpus, on_cuda=failed)
    assert judge("serve-gpu", host).missing == (Problem(what, CUDA_12), BROKEN)
    assert find_faults(host) == [Problem(f"ONNX Runtime lists CUDA and cannot use it: {what}", CUDA_12)]


@pytest.mark.parametrize(
    ("gpus", "fitting"),
    [
        (Gpus((Gpu("NVIDIA A100", 40960, "8.0"),), "550.54.15", "12.4", None, None), " 'onnxruntime-gpu<1.27'"),
        (Gpus((Gpu("Tesla V100", 16384, "7.0"),), "580.95.05", "13.0", None, None), " 'onnxruntime-gpu<1.27'"),
        (Gpus((Gpu("NVIDIA A100", 40960, "8.0"),), "580.95.05", "13.0", None, None), ""),
        (Gpus((Gpu("NVIDIA A100", 40960, "8.0"),), "580.95.05", None, None, None), ""),
    ],
)
def test_onnxruntime_is_replaced_by_one_that_fits_the_driver_and_the_gpu(gpus: Gpus, fitting: str) -> None:
    command = "Replace it: pip uninstall --yes onnxruntime && pip install 'camserve[server-gpu]'"
    without = runtime("onnxruntime", problem=Problem(NO_PROVIDER.what, command))
    (problem,) = judge("serve-gpu", host_with(LAPTOP, gpus=gpus, on_cuda=without)).missing
    assert problem.remedy == command + fitting


def test_a_driver_that_is_too_old_for_every_version_must_be_updated() -> None:
    gpus = Gpus((Gpu("Tesla P100", 16384, "6.0"),), "470.256.02", "11.4", None, None)
    failed = runtime("onnxruntime-gpu", cuda="12.8", problem=BROKEN)
    first, _ = judge("serve-gpu", host_with(GPU_HOST, gpus=gpus, on_cuda=failed)).missing
    assert first.remedy == "Update NVIDIA's driver"


def test_an_old_driver_that_works_is_ready() -> None:
    forward_compatible = replace(GPU_HOST["gpus"], driver="550.54.15", cuda="12.4")
    assert judge("serve-gpu", host_with(GPU_HOST, gpus=forward_compatible)).ready


def test_two_packages_of_onnxruntime_are_a_fault_even_if_cuda_works() -> None:
    both = runtime("onnxruntime", "onnxruntime-gpu", cuda="13.0")
    (fault,) = find_faults(host_with(GPU_HOST, on_cpu=both, on_cuda=both))
    assert fault.what.startswith("onnxruntime and onnxruntime-gpu are installed in the same folder")
    assert fault.remedy == (
        "Remove them and install one: "
        "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'camserve[server-gpu]'"
    )


def test_two_packages_of_cudnn_are_a_fault() -> None:
    (fault,) = find_faults(host_with(GPU_HOST, cudnn_packages=["nvidia-cudnn-cu12", "nvidia-cudnn-cu13"]))
    assert fault.remedy is not None
    assert fault.remedy.endswith(
        "pip uninstall --yes nvidia-cudnn-cu12 nvidia-cudnn-cu13 && pip install nvidia-cudnn-cu13"
    )


DOCKER_DEFAULT = Memory(2**34, 2**33, None, 64 * MEGABYTE, 64 * MEGABYTE)


def test_a_small_shared_memory_is_a_fault_where_a_server_is_installed() -> None:
    (fault,) = find_faults(host_with(LAPTOP, memory=DOCKER_DEFAULT))
    assert fault.what.startswith("/dev/shm has 64 MB of free space")
    assert fault.remedy == ENLARGE_SHARED_MEMORY
    assert not judge("serve-cpu", host_with(LAPTOP, memory=DOCKER_DEFAULT)).ready
    without_server = EmbeddedTriton(None, None, Problem("nvidia-pytriton is not installed", "Install it"))
    assert find_faults(host_with(LAPTOP, memory=DOCKER_DEFAULT, triton=without_server)) == []


def test_the_needed_shared_memory_is_that_of_the_preset_gpu(toy_bundle: Bundle) -> None:
    from support.model_folder import toy_config

    from camserve.doctor import faults
    from camserve.serving.server.host_checks import shared_memory_need

    config = toy_config(toy_bundle)
    del config.input[1:], config.output[:]
    config.input[0].dims[:] = [224, 224, 3]
    config.max_batch_size = 32
    del config.instance_group[1:]
    config.instance_group[0].count = 2
    need = shared_memory_need(config)
    assert 0.9 * need < faults._SHARED_MEMORY_NEED < 1.1 * need


def test_a_loaded_driver_that_fails_is_a_fault() -> None:
    gpus = Gpus((), "580.95.05", None, "nvidia-smi failed: Driver/library version mismatch", None)
    (fault,) = find_faults(host_with(LAPTOP, gpus=gpus))
    assert fault.what == "NVIDIA's driver 580.95.05 is loaded, and nvidia-smi failed: Driver/library version mismatch"
    image_on_a_host_without_gpu = replace(gpus, driver=None)
    assert find_faults(host_with(LAPTOP, gpus=image_on_a_host_without_gpu)) == []


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"triton": EmbeddedTriton("0.7.0", None, Problem("libpython3.12.so.1.0 is missing"))}, "libpython3.12.so.1.0"),
        ({"export_tools": ExportTools("2.21.0", "3.15.1", (), None, Problem("cannot import keras"))}, "keras"),
        ({"openvino": OpenVino(None, (), Problem("OpenVINO failed: SIGBUS"))}, "SIGBUS"),
        ({"on_cpu": runtime("onnxruntime", problem=Problem("ONNX Runtime failed: SIGILL"))}, "SIGILL"),
    ],
)
def test_what_is_installed_and_fails_is_a_fault(facts: dict[str, Any], what: str) -> None:
    (fault,) = find_faults(host_with(LAPTOP, **facts))
    assert what in fault.what


def test_missing_export_tools_are_no_fault() -> None:
    tools = ExportTools(None, None, ("tensorflow",), None, Problem("not installed: tensorflow", "Install it"))
    host = host_with(LAPTOP, export_tools=tools)
    assert find_faults(host) == []
    assert whats(host, "export") == ["not installed: tensorflow"]


def test_tensorrt_needs_a_gpu_and_nvidias_container_or_its_library() -> None:
    assert whats(host_with(LAPTOP), "serve-tensorrt") == [
        "no GPU of NVIDIA was found: nvidia-smi is not on the PATH",
        "not on the PATH: Docker and the NVIDIA Container Toolkit",
    ]
    works_here = host_with(
        GPU_HOST, missing_container_tools=["Docker"], on_tensorrt=runtime("onnxruntime-gpu", cuda="13.0")
    )
    assert judge("serve-tensorrt", works_here).ready


AVX512_BF16 = replace(GPU_HOST["cpu"], features=("AVX2", "AVX-512", "VNNI", "bf16"))
MISSING = OpenVino(None, (), Problem("openvino is not installed", "Install it"), installed=False)


@pytest.mark.parametrize(
    ("host", "missing"),
    [
        (host_with(GPU_HOST), []),
        (host_with(GPU_HOST, cpu=AVX512_BF16), ["no AMX: bf16 works, slower than float32; int8 is faster"]),
        (host_with(LAPTOP), ["does not compute in bf16: int8 is the fastest precision"]),
        (host_with(GPU_HOST, openvino=MISSING), ["openvino is not installed"]),
    ],
)
def test_bf16_needs_openvino_and_amx(host: Host, missing: list[str]) -> None:
    found = whats(host, "bf16-cpu")
    assert len(found) == len(missing)
    assert all(expected in what for expected, what in zip(missing, found, strict=True))
    assert find_faults(host) == []


def test_int8_is_called_the_fastest_only_without_amx() -> None:
    assert judge("int8-cpu", host_with(LAPTOP)).note == "the fastest precision on this processor"
    assert judge("int8-cpu", host_with(GPU_HOST)).note is None


@pytest.mark.parametrize("features", [("AVX2",), None])
def test_int8_needs_vnni(features: tuple[str, ...] | None) -> None:
    assert not judge("int8-cpu", host_with(LAPTOP, cpu=replace(LAPTOP["cpu"], features=features))).ready
