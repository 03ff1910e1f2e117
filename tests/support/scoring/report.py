"""The host and the tables of the report."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from support.gpu.results import table

__all__ = ["cores", "describe_host", "render"]

PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorflow",
    "keras",
    "tritonclient",
    "grpcio",
    "pillow",
    "numpy",
    "pyarrow",
)


INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe_host() -> dict[str, Any]:
    """Return what the results depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": models[0].partition(": ")[2] if models else platform.machine(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": cores(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _installed(name))},
    }


def _installed(package: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def render(document: dict[str, Any]) -> str:
    """Return the tables."""
    host = document["host"]
    packages = ", ".join(f"{name} {found}" for name, found in host["packages"].items())
    sections = [
        f"{host['date']}, {host['cores']} cores of {host['processor']}, Python {host['python']}, {packages}; "
        f"{document['size']['rounds']} rounds, {document['seconds']} s"
    ]
    heads = {
        "rate": "images/s",
        "cpu_ms": "processor time of an image, ms",
        "server_cpu_ms": "in the server",
        "start_s": "start, s",
        "peak_mb": "peak memory, MB",
    }
    for part, rows in document["rows"].items():
        names = [name for name in heads if any(name in row for row in rows)]
        cells = [[row["what"], *(row.get(name) for name in names)] for row in rows]
        sections.append(table([part, *(heads[name] for name in names)], cells))
    if limits := document["limits"]:
        cells = [
            [
                f"{each['part']}: {each['what']}",
                each["value"],
                f"at {'most' if each['most'] else 'least'} {each['limit']:g}",
                "yes" if each["met"] else "no",
            ]
            for each in limits
        ]
        sections.append(table(["ratio or difference", "measured", "limit", "met"], cells))
    sections += [f"Omitted: {part}: {why}" for part, why in document["omitted"].items()]
    return "\n\n".join(sections)
