"""Exports of one model are identical, byte by byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers
from support.networks import enliven, small_network

from camserve.choices import InputType, Precision
from camserve.contract import PRESETS
from camserve.export import Tolerances, export_model
from camserve.export.gate.samples import sample_images
from camserve.manifest import MANIFEST_NAME

pytestmark = pytest.mark.slow

EXPORT = """
import sys
from camserve.export import export_model
export_model(sys.argv[1], sys.argv[2], preprocessing="unit", resize="nearest")
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ordinary() -> keras.Model:
    return enliven(small_network("average"), PRESETS["unit"])


def with_functions_inside() -> keras.Model:
    """Build a network with layers that TensorFlow compiles to functions: a grouped convolution and a swish."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, groups=3, activation="swish")(image)
    x = layers.Conv2D(12, 3, groups=2, activation="gelu")(x)
    return keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("build", [ordinary, with_functions_inside])
@pytest.mark.parametrize("input_dtype", ["float32", "uint8"])
def test_exports_in_one_process_are_identical(
    build: Callable[[], keras.Model], input_dtype: InputType, tmp_path: Path
) -> None:
    model = build()
    first, second = (
        export_model(
            model, tmp_path / name / "bundle", preprocessing="unit", resize="nearest", input_dtype=input_dtype
        ).path
        for name in "ab"
    )
    assert contents(first) == contents(second)
    assert MANIFEST_NAME in contents(first)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_exports_of_lower_precision_are_identical(precision: Precision, tmp_path: Path) -> None:
    for number, pixels in enumerate(sample_images(12, 16, 16, 3)):
        keras.utils.save_img(tmp_path / f"{number}.png", pixels)
    model, tolerances = ordinary(), Tolerances(top1_disagreement=1, cam_distance=1)
    options: dict[str, Any] = {
        "preprocessing": "unit",
        "resize": "nearest",
        "precision": precision,
        "calibration": tmp_path,
        "tolerances": tolerances,
    }
    first, second = (export_model(model, tmp_path / name, **options).path for name in "ab")
    assert contents(first) == contents(second)


@pytest.mark.slow
def test_exports_in_two_processes_and_folders_are_identical(tmp_path: Path) -> None:
    enliven(small_network("flatten"), PRESETS["unit"]).save(tmp_path / "small.keras")
    for place, seed in (("here", "1"), ("there", "2")):
        (tmp_path / place).mkdir()
        source = shutil.copy(tmp_path / "small.keras", tmp_path / place)
        arguments = [sys.executable, "-c", EXPORT, source, tmp_path / place / "bundle"]
        subprocess.run(arguments, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
