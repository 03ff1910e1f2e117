"""The usual heads of transfer learning, from the model to the exported file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import layers
from support.int8_networks import write_colors
from support.transfer_heads import HEADS, SIDE, TransferHead, chain, write_teachable_machine

from camserve.bundle import Bundle
from camserve.export import export_model
from camserve.export.formats.writing import open_format
from camserve.export.gate.samples import sample_images

pytestmark = pytest.mark.slow

OPTIONS: Any = {"preprocessing": "unit", "resize": "nearest", "formats": "onnx"}
IMAGES = sample_images(3, SIDE, SIDE, 3).astype(np.float32) / 255

IN_EVERY_RUN = (
    "GlobalAveragePooling, BatchNorm, Dense + ReLU, BatchNorm, Dropout, Dense",
    "GlobalMaxPooling, Dense",
    "average and maximum joined, BatchNorm, Dense + ReLU, Dense",
    "Flatten, Dense + ReLU, Dense + ReLU, Dense",
    "several labels: Dense + ReLU, Dense + sigmoid",
    "one sigmoid, two labels: Dense + ReLU, Dense + sigmoid",
)
"""The other heads are exported by `make test-all`; `test_head.py` and `test_gradient_maps.py` have their steps."""


def passes_with_maps(bundle: Bundle, method: str) -> bool:
    cam = bundle.contract.cam
    measured = {metric["figure"] for metric in bundle.report["parity"]}
    assert cam is not None
    assert cam.method == method
    assert ("cam_undetermined" in measured) == (method == "gradient")
    return "cam" in measured and all(metric["passed"] for metric in bundle.report["parity"])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_EVERY_RUN else pytest.mark.exhaustive) for name in HEADS]
)
def test_transfer_head_exports_with_maps(name: str, tmp_path: Path) -> None:
    head = HEADS[name]
    labels = ["cat", "dog"] if head.classes == 1 else None
    bundle = export_model(head.classifier(), tmp_path / "bundle", labels=labels, **OPTIONS)
    assert passes_with_maps(bundle, head.method)
    assert bundle.contract.activation == head.activation
    maps = open_format(bundle.path, "onnx")(IMAGES)["cam"]
    assert maps.shape == (3, 4 if labels is None else 2, 4, 4)
    assert (np.ptp(maps, axis=(2, 3)) > 0).all()
    if labels is not None:
        np.testing.assert_allclose(maps[:, 0], -maps[:, 1], rtol=1e-6)


def test_file_of_teachable_machine_exports_with_maps(tmp_path: Path) -> None:
    write_teachable_machine(tmp_path / "keras_model.h5")
    bundle = export_model(tmp_path / "keras_model.h5", tmp_path / "bundle", **OPTIONS)
    assert passes_with_maps(bundle, "gradient")
    assert bundle.contract.cam is not None
    assert bundle.contract.cam.grid == (8, 8)


@pytest.mark.parametrize("options", [{"formats": "savedmodel"}, {"precision": "fp16"}, {"precision": "int8"}], ids=str)
def test_dense_layer_on_a_flattened_grid_exports_in_every_format_and_precision(options: Any, tmp_path: Path) -> None:
    wide = chain(partial(layers.Conv2D, 32, 1, activation="relu"), layers.Flatten, partial(layers.Dense, 8, "tanh"))
    model = TransferHead("gradient", wide).classifier()
    photos = write_colors(tmp_path / "photos", 24)
    bundle = export_model(model, tmp_path / "bundle", calibration=photos, **OPTIONS | options)
    assert passes_with_maps(bundle, "gradient")
