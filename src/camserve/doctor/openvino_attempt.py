"""Import OpenVINO and find out what it computes in. Runs in its own process."""

from __future__ import annotations

import json
import sys

from camserve.openvino_runtime import capabilities, import_openvino

__all__ = ["main"]

_PURPOSE = "camserve doctor"
_PRECISIONS = ("FP32", "FP16", "BF16", "INT8")


def main() -> None:
    """Print the version and the precisions as JSON."""
    version = str(import_openvino(_PURPOSE).__version__).partition("-")[0]
    found = set(capabilities(_PURPOSE))
    report = {"version": version, "precisions": [each for each in _PRECISIONS if each in found]}
    sys.stdout.write(f"\n{json.dumps(report)}\n")
