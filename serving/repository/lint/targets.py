"""The server that a repository is checked for: Triton's release, its ONNX Runtime, and the cores of its host.

Sources: the ONNX Runtime of a release is listed in "ONNX Runtime Versions" of docs/introduction/compatibility.md of
triton-inference-server/server, which ends at 26.08. The newest operator set and file format (IR) of an ONNX Runtime
were measured by loading models of one Relu, each with the next higher number, in the wheel of that version from PyPI.
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


_LAST_WITH_TENSORFLOW = "25.02"
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
            f"unknown Triton release {release!r}: the newest release that lint knows is {newest}",
            hint=f"Check for that one instead: --target-triton {newest}",
        )
    return UsageError(f"unknown Triton release {release!r}", hint=f"Choose one of {', '.join(RELEASES)}")


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
