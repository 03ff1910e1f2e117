"""Cores and instructions of the processor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from camserve.cores import host_cores

__all__ = ["AMX", "VNNI", "Cpu", "read_cpu"]

AMX, VNNI = "AMX", "VNNI"

_FEATURES = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    VNNI: {"avx512_vnni", "avx_vnni"},
    AMX: {"amx_int8", "amx_bf16"},
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},
    "NEON": {"asimd"},
    "dot product": {"asimddp"},
    "i8mm": {"i8mm"},
}
"""The names in `/proc/cpuinfo` of what matters for networks; the last four are of Arm."""


@dataclass(frozen=True)
class Cpu:
    """The processor.

    Attributes:
        model: Its name; None if it is unknown.
        cores: Cores that this process may use.
        features: Instructions that matter for networks; None if they are unknown.
    """

    model: str | None
    cores: int
    features: tuple[str, ...] | None


def read_cpu(file: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Read the facts about the processor from a file in the format of `/proc/cpuinfo`."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    entries = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = entries.get("flags", entries.get("Features"))
    return Cpu(model=entries.get("model name"), cores=host_cores(), features=_features(flags))


def _features(flags: str | None) -> tuple[str, ...] | None:
    if flags is None:
        return None
    present = set(flags.split())
    return tuple(feature for feature, names in _FEATURES.items() if names & present)
