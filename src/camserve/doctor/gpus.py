"""The GPUs of NVIDIA and their driver, as `nvidia-smi` reports them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from camserve.doctor.attempt import attempt

__all__ = ["Gpu", "Gpus", "find_gpus"]

_PROGRAM = "nvidia-smi"
_QUERY = ("--query-gpu=name,memory.total,compute_cap,driver_version", "--format=csv,noheader,nounits")
_CUDA = re.compile(r"CUDA (?:UMD )?Version *: *([\d.]+)")
_KERNEL_MODULE = Path("/proc/driver/nvidia/version")
_MODULE_VERSION = re.compile(r"Kernel Module.*?\s(\d+\.[\d.]+)")
_NO_DEVICES = "No devices were found"
_SECONDS = 30.0


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: Its name.
        memory_mb: Its memory in MiB; None if it is unknown.
        compute_capability: Such as `9.0`.
    """

    name: str
    memory_mb: int | None
    compute_capability: str


@dataclass(frozen=True)
class Gpus:
    """The GPUs and their driver.

    Attributes:
        found: The GPUs.
        driver: Version of the driver; None if there is none or it is unknown.
        cuda: Newest version of CUDA that the driver supports; None if it is unknown.
        problem: Why no GPU was found; None if one was.
        visible: Value of CUDA_VISIBLE_DEVICES, which hides the others; None if it is not set.
    """

    found: tuple[Gpu, ...]
    driver: str | None
    cuda: str | None
    problem: str | None
    visible: str | None


def find_gpus(module: Path = _KERNEL_MODULE) -> Gpus:
    """Find the GPUs.

    Args:
        module: The file in which the driver's kernel module states its version.
    """
    loaded, visible = _module_version(module), os.environ.get("CUDA_VISIBLE_DEVICES")
    if which(_PROGRAM) is None:
        return Gpus((), loaded, None, f"{_PROGRAM} is not on the PATH", visible)
    ended = attempt([_PROGRAM, *_QUERY], seconds=_SECONDS)
    if ended.problem == _NO_DEVICES or ended.output.strip() == _NO_DEVICES:
        return Gpus((), loaded, None, f"{_PROGRAM} found no GPU", visible)
    if ended.problem is not None:
        return Gpus((), loaded, None, f"{_PROGRAM} failed: {ended.problem}", visible)
    rows = [[cell.strip() for cell in line.split(",")] for line in ended.output.splitlines() if line.count(",") == 3]
    if not rows:
        return Gpus((), loaded, None, f"{_PROGRAM} found no GPU", visible)
    found = tuple(Gpu(name, int(size) if size.isdecimal() else None, level) for name, size, level, _ in rows)
    return Gpus(found, rows[0][3], _cuda_version(), None, visible)


def _cuda_version() -> str | None:
    shown = _CUDA.search(attempt([_PROGRAM], seconds=_SECONDS).output)
    return shown[1] if shown else None


def _module_version(file: Path) -> str | None:
    """Return the version of the loaded driver; None if none is loaded."""
    try:
        found = _MODULE_VERSION.search(file.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return found[1] if found else "unknown"
