"""An exported ONNX model is a single file, without external data."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from support.networks import small_network

from camserve.bundle import ONNX_NAME
from camserve.errors import BundleError
from camserve.export import export_model
from camserve.external_data import check_self_contained


def test_export_has_no_external_data(tmp_path: Path) -> None:
    bundle = export_model(small_network(), tmp_path / "bundle", preprocessing="unit", resize="nearest", formats="onnx")
    check_self_contained(bundle.path / ONNX_NAME)
    model = onnx.load(str(bundle.path / ONNX_NAME), load_external_data=False)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)

    onnx.save(model, str(tmp_path / "split.onnx"), save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(BundleError, match="in another file"):
        check_self_contained(tmp_path / "split.onnx")
