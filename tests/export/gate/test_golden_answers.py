"""Recording golden answers at export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.export import Tolerances, export_model
from camserve.export.formats.writing import open_format
from camserve.export.gate.samples import sample_images
from camserve.golden import compare, read_golden, tolerance_of
from camserve.serving import publish


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"input_dtype": "uint8"},
        {"precision": "fp16"},
        {"precision": "int8", "input_dtype": "uint8"},
        {"formats": "savedmodel", "cam_all": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "float32",
)
def test_export_matches_its_golden_answers_and_can_be_published(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(sample_images(12, 16, 16, 3)):
        keras.utils.save_img(tmp_path / "images" / f"{number}.png", pixels[..., ::-1])
    calibration = {"calibration": tmp_path / "images", "tolerances": Tolerances(top1_disagreement=1, cam_distance=1)}
    settings = {"formats": "onnx", **options, **(calibration if "precision" in options else {})}
    model = enliven(small_network("average"), PRESETS["unit"])
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", **settings)
    assert bundle.golden_path is not None
    golden = read_golden(bundle.golden_path, bundle.contract)
    # Calibration images are private and must not be stored.
    np.testing.assert_array_equal(golden.pixels, sample_images(3, 16, 16, 3))
    format_name = options.get("formats", "onnx")
    answers = dict(open_format(bundle.path, format_name)(golden.image(bundle.contract)))
    assert compare(golden, bundle.contract, answers, tolerance=tolerance_of(bundle.report["precision"])) == ()
    backend: Any = "onnxruntime" if format_name == "onnx" else "tensorflow"
    assert publish(bundle, tmp_path / "repository", backend=backend).version == 1
