"""Whether OpenVINO computes in bf16 on this host."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from camserve.openvino_runtime import capabilities

__all__ = ["NO_BF16", "has_bf16", "needs_bf16"]

NO_BF16 = "OpenVINO does not compute in bf16 here"


def has_bf16() -> bool:
    """Return whether OpenVINO is installed and the processor computes in bf16."""
    return find_spec("openvino") is not None and "BF16" in capabilities("this test")


needs_bf16 = pytest.mark.skipif(not has_bf16(), reason=NO_BF16)
