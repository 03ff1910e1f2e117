"""The libraries of CUDA, cuDNN and TensorRT that programs on this host find."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from shutil import which

from camserve.doctor.attempt import attempt

__all__ = ["cudnn_packages", "find_cuda_libraries"]

_NAME = re.compile(r"lib(?:cudart|cublas|cublasLt|cufft|curand|nvrtc|cudnn|nvinfer|cuda)\.so\.\d+")
_CUDNN_PACKAGE = re.compile(r"nvidia-cudnn-cu\d+")
_SYSTEM_PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/sbin{os.pathsep}/usr/sbin"


def find_cuda_libraries(path: Sequence[str] | None = None) -> dict[str, str]:
    """Find libraries in the order in which ONNX Runtime looks for them.

    Args:
        path: Folders with installed packages (default: `sys.path`).

    Returns:
        By name, such as `libcudnn.so.9`, the first file.
    """
    found: dict[str, str] = {}
    for file in (*_in_packages(sys.path if path is None else path), *_in_library_path(), *_in_cache()):
        if _NAME.fullmatch(file.name):
            found.setdefault(file.name, str(file))
    return dict(sorted(found.items()))


def cudnn_packages(path: Sequence[str] | None = None) -> list[str]:
    """Return the installed packages of cuDNN, which all install into the same folder.

    Args:
        path: Folders with installed packages (default: `sys.path`).
    """
    names = {each.metadata["Name"] or "" for each in distributions(path=list(sys.path if path is None else path))}
    return sorted(name for name in names if _CUDNN_PACKAGE.fullmatch(name))


def _in_packages(path: Sequence[str]) -> Iterator[Path]:
    for folder in path:
        yield from sorted(Path(folder).glob("nvidia/*/lib/*.so.*"))
        yield from sorted(Path(folder).glob("tensorrt_libs/*.so.*"))


def _in_library_path() -> Iterator[Path]:
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        yield from sorted(Path(folder).glob("*.so.*"))


def _in_cache() -> Iterator[Path]:
    """Yield the files in the cache of the dynamic linker."""
    program = which("ldconfig", path=_SYSTEM_PATH)
    if program is not None:
        for line in attempt([program, "-p"]).output.splitlines():
            _, arrow, file = line.partition(" => ")
            if arrow:
                yield Path(file)
