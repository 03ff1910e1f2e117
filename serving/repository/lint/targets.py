"""The server that a repository is checked for: Triton's release, its ONNX Runtime, and the cores of its host.

Sources: the ONNX Runtime of a release is listed in "ONNX Runtime Versions" of docs/introduction/compatibility.md of
triton-inference-server/server, which ends at 26.08; that of 26.09 is in its pull request 8966. That of 26.10 was not
published when this was written. Python and CUDA are those of the vllm images in the same file, which are built from the
same base. TensorRT 11 came with onnxruntime_backend pull request 345. The newest operator set and file format (IR) of
an ONNX Runtime were measured by loading models of one Relu, each with the next higher number, in the wheel of that
version from PyPI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from camserve.errors import UsageError

__all__ = ["DEFAULT_RELEASE", "RELEASES", "Target", "find_target"]


@dataclass(frozen=True)
class Target:
    """The server that a repository is checked for.

    Attributes:
        release: Release of Triton, such as `26.07`.
        onnxruntime: Version of its ONNX Runtime.
        opset: Newest operator set that this loads.
        ir: Newest version of the file format that this loads.
        cores: Cores of the host.
    """

    release: str
    onnxruntime: str
    opset: int
    ir: int
    cores: int

    @property
    def has_tensorflow(self) -> bool:
        """Whether the container of the release has Triton's own TensorFlow backend."""
        return _number(self.release) <= _number(_LAST_WITH_TENSORFLOW)

    @property
    def has_cuda_options(self) -> bool:
        """Whether the C++ backend surely passes the options of the accelerator `cuda` to ONNX Runtime."""
        return _number(self.release) >= _number(_FIRST_WITH_CUDA_OPTIONS)

    @property
    def has_response_limit(self) -> bool:
        """Whether tritonserver surely has the option `--grpc-max-response-pool-size`."""
        return _number(self.release) >= _number(_FIRST_WITH_RESPONSE_LIMIT)

    @property
    def has_weak_typing(self) -> bool:
        """Whether TensorRT may lower the precision of a graph, as until TensorRT 10."""
        return _number(self.release) < _number(_FIRST_WITH_TENSORRT_11)

    @property
    def python(self) -> str:
        """Version of Python in the container, for example `3.12`."""
        return "3.12" if _number(self.release) >= _number(_FIRST_WITH_PYTHON_12) else "3.10"

    @property
    def cuda(self) -> int:
        """Major version of CUDA in the container."""
        return 13 if _number(self.release) >= _number(_FIRST_WITH_CUDA_13) else 12

    def has_onnxruntime(self, version: str) -> bool:
        """Check whether its ONNX Runtime is of a version, such as `1.20`, or newer."""
        return _number(self.onnxruntime)[:2] >= _number(version)


_LAST_WITH_TENSORFLOW = "25.02"
# onnxruntime_backend pull request 256, merged in June 2024: not in 24.05, and not certain in 24.06.
_FIRST_WITH_CUDA_OPTIONS = "24.07"
# server pull request 7879, in review until February 2025: not in 25.01, and not certain in 25.02 and 25.03.
_FIRST_WITH_RESPONSE_LIMIT = "25.04"
_FIRST_WITH_PYTHON_12 = "24.11"
_FIRST_WITH_CUDA_13 = "25.08"
_FIRST_WITH_TENSORRT_11 = "26.06"
_RELEASE = re.compile(r"\d\d\.\d\d")

_SUPPORTED: Mapping[str, tuple[int, int]] = {
    "1.17": (20, 9),
    "1.18": (21, 10),
    "1.19": (21, 10),
    "1.20": (21, 10),
    "1.21": (22, 10),
    "1.22": (22, 10),
    "1.23": (23, 11),
    "1.24": (25, 13),
    "1.27": (26, 13),
    "1.28": (26, 13),
    "1.30": (26, 13),
}
"""By version of ONNX Runtime, the newest operator set and file format that it loads."""

RELEASES: Mapping[str, str] = {
    "24.04": "1.17.3",
    "24.05": "1.18.0",
    "24.06": "1.18.0",
    "24.07": "1.18.1",
    "24.08": "1.18.1",
    "24.09": "1.19.2",
    "24.10": "1.19.2",
    "24.11": "1.19.2",
    "24.12": "1.20.1",
    "25.01": "1.20.1",
    "25.02": "1.20.1",
    "25.03": "1.21.0",
    "25.04": "1.21.0",
    "25.05": "1.22.0",
    "25.06": "1.22.0",
    "25.07": "1.22.0",
    "25.08": "1.23.0",
    "25.09": "1.23.0",
    "25.10": "1.23.1",
    "25.11": "1.23.2",
    "25.12": "1.23.2",
    "26.01": "1.23.2",
    "26.02": "1.24.1",
    "26.03": "1.24.2",
    "26.04": "1.24.4",
    "26.05": "1.24.4",
    "26.06": "1.24.4",
    "26.07": "1.27.0",
    "26.08": "1.28.0",
    "26.09": "1.30.0",
}
"""By release of Triton, the version of its ONNX Runtime."""

DEFAULT_RELEASE = "26.07"
"""The release that `docker/` uses; newer ones are known."""


def find_target(release: str, *, cores: int) -> Target:
    """Return what a release of Triton supports.

    Args:
        release: Release of Triton, such as `26.07`.
        cores: Cores of the host.

    Raises:
        UsageError: If the release is unknown, or newer than all known ones.
    """
    if release not in RELEASES:
        raise _unknown(release)
    version = RELEASES[release]
    opset, ir = _SUPPORTED[version.rpartition(".")[0]]
    return Target(release, version, opset, ir, cores)


def _unknown(release: str) -> UsageError:
    newest = max(RELEASES, key=_number)
    if _RELEASE.fullmatch(release) and _number(release) > _number(newest):
        return UsageError(
            f"unknown Triton release {release!r}: the newest release that camserve knows is {newest}",
            hint=f"Choose that one instead: --target-triton {newest}",
        )
    return UsageError(f"unknown Triton release {release!r}", hint=f"Choose one of {', '.join(RELEASES)}")


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
