"""A bundle in bf16 is never served in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.bf16 import needs_bf16
from support.toy import in_bf16, write_toy_bundle

from camserve.errors import UsageError
from camserve.serving import publish


@needs_bf16
def test_onnx_runtime_is_refused(tmp_path: Path) -> None:
    bundle = in_bf16(write_toy_bundle(tmp_path / "toy"))
    with pytest.raises(UsageError, match="ONNX Runtime would compute a model of precision bf16 in float32"):
        publish(bundle, tmp_path / "repository", backend="onnxruntime")
    assert not list((tmp_path / "repository").glob("toy/*"))
