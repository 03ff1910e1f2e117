"""What a server will know: Triton's release, its ONNX Runtime, and the cores of its host.

Which ONNX Runtime a release holds: the table of ONNX Runtime versions in Triton's own documentation,
docs/introduction/compatibility.md of triton-inference-server/server. Which operator set and file format (IR) an ONNX
Runtime loads was found by trial: models of one Relu, each stamped with the next higher number, loaded by the
wheel of that version from PyPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from camserve.errors import UsageError

__all__ = ["NEWEST", "RELEASES", "Target", "find_target"]


@dataclass(frozen=True)
class Target:
    """The server that a repository is meant for.

    Attributes:
        release: Of Triton, such as `26.07`.
        onnxruntime: Version of its ONNX Runtime.
        opset: Newest operator set that it loads.
        ir: Newest version of the file format that it loads.
        cores: Of the host.
    """

    release: str
    onnxruntime: str
    opset: int
    ir: int
    cores: int

    @property
    def has_tensorflow(self) -> bool:
        """Whether the release's container holds Triton's own TensorFlow backend."""
        return _number(self.release) <= _number(_LAST_WITH_TENSORFLOW)


_LAST_WITH_TENSORFLOW = "25.02"

_KNOWS: Mapping[str, tuple[int, int]] = {
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
"""By version of ONNX Runtime, the newest operator set and the newest file format."""

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

NEWEST = "26.07"
"""The release that `docker/` builds on."""


def find_target(release: str, *, cores: int) -> Target:
    """What is known of a release.

    Args:
        release: Of Triton, such as `26.07`.
        cores: Of the host.

    Raises:
        UsageError: If nothing is; the hint lists those that are known.
    """
    if release not in RELEASES:
        raise UsageError(f"nothing is known of Triton {release!r}", hint=f"Choose one of {', '.join(RELEASES)}")
    version = RELEASES[release]
    opset, ir = _KNOWS[version.rpartition(".")[0]]
    return Target(release, version, opset, ir, cores)


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
