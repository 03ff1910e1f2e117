"""The processor, memory and GPUs: of this host, and of others by what their files and programs contain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from camserve.cores import host_cores
from camserve.doctor import gpus
from camserve.doctor.cpu import read_cpu
from camserve.doctor.gpus import Gpu, find_gpus
from camserve.doctor.memory import read_memory

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse4_2 avx avx2 avx512f avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8
"""
LAPTOP = "model name\t: Intel(R) Core(TM) i7-1355U\nflags\t\t: sse4_2 avx avx2 avx_vnni\n"
OLD = "model name\t: Intel(R) Xeon(R) CPU E5-2690 v4\nflags\t\t: sse4_2 avx avx2\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd aes crc32 asimddp sve i8mm bf16\n"

HEADER = """Thu Nov 26 12:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI {driver}              Driver Version: {driver}      CUDA Version: {cuda}     |
|-----------------------------------------+------------------------+----------------------+
"""
KERNEL_MODULE = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n"
    "GCC version:  gcc version 12.3.0\n"
)


@pytest.mark.parametrize(
    ("text", "model", "features"),
    [
        (XEON, "Intel(R) Xeon(R) Platinum 8480+", ("AVX2", "AVX-512", "VNNI", "AMX", "bf16")),
        (LAPTOP, "Intel(R) Core(TM) i7-1355U", ("AVX2", "VNNI")),
        (OLD, "Intel(R) Xeon(R) CPU E5-2690 v4", ("AVX2",)),
        (GRAVITON, None, ("bf16", "NEON", "dot product", "i8mm")),
        ("", None, None),
    ],
)
def test_the_instructions_of_a_processor_are_read(
    text: str, model: str | None, features: tuple[str, ...] | None, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    cpu = read_cpu(tmp_path / "cpuinfo")
    assert (cpu.model, cpu.features) == (model, features)


def test_this_processor_is_described_without_and_with_its_file(tmp_path: Path) -> None:
    assert read_cpu(tmp_path / "none").features is None
    cpu = read_cpu()
    assert cpu.cores == host_cores()
    assert cpu.features is not None


def test_the_memory_of_this_host_is_read() -> None:
    memory = read_memory()
    assert memory.total == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.available is not None
    assert 0 < memory.available < memory.total
    assert memory.shared is not None
    assert memory.shared_free is not None
    assert 0 < memory.shared_free <= memory.shared


def test_memory_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    memory = read_memory(tmp_path / "none", shared_memory=tmp_path / "none")
    assert (memory.total, memory.available, memory.shared, memory.shared_free) == (None, None, None, None)


def nvidia_smi(folder: Path, query: str, plain: str = "", code: int = 0) -> None:
    """Create a program `nvidia-smi` that prints `query` for a query, and else `plain`."""
    (folder / "query").write_text(query)
    (folder / "plain").write_text(plain)
    program = folder / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in --query-gpu=*) cat {folder}/query;; *) cat {folder}/plain;; esac\nexit {code}\n'
    )
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of PATH, where a program can be put."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_gpus_driver_and_cuda_are_read(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    rows = "NVIDIA H100 80GB HBM3, 81559, 9.0, 580.95.05\nNVIDIA GB10, [N/A], 12.1, 580.95.05\n"
    nvidia_smi(programs, rows, HEADER.format(driver="580.95.05", cuda="13.0"))
    found = find_gpus()
    assert found.found == (Gpu("NVIDIA H100 80GB HBM3", 81559, "9.0"), Gpu("NVIDIA GB10", None, "12.1"))
    assert (found.driver, found.cuda, found.problem, found.visible) == ("580.95.05", "13.0", None, "1")


def test_a_host_without_nvidia_smi_has_no_gpu(programs: Path) -> None:
    found = find_gpus(programs / "none")
    assert (found.found, found.driver, found.problem) == ((), None, "nvidia-smi is not on the PATH")


def test_a_driver_without_a_gpu_is_no_failure(programs: Path) -> None:
    nvidia_smi(programs, "No devices were found\n", code=6)
    assert find_gpus(programs / "none").problem == "nvidia-smi found no GPU"


def test_a_failing_driver_is_named_with_its_version(programs: Path) -> None:
    message = "Failed to initialize NVML: Driver/library version mismatch"
    nvidia_smi(programs, f"{message}\nNVML library version: 580.95\n".replace("\nNVML", "; NVML"), code=18)
    (programs / "version").write_text(KERNEL_MODULE)
    found = find_gpus(programs / "version")
    assert (found.found, found.driver) == ((), "580.95.05")
    assert found.problem is not None
    assert found.problem.startswith(f"nvidia-smi failed: {message}")


def test_a_driver_that_hangs_does_not_stop_the_doctor(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_SECONDS", 0.2)
    program = programs / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    assert find_gpus(programs / "none").problem == "nvidia-smi failed: it did not end within 0.2 s"
