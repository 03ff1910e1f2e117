"""Two exports of one model: the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers
from networks import enliven, small_network

from camserve.contract import PRESETS
from camserve.export import export_model
from camserve.manifest import MANIFEST_NAME

EXPORT = """
import sys
from camserve.export import export_model
export_model(sys.argv[1], sys.argv[2], preprocessing="unit")
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def grouped() -> keras.Model:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, groups=4)(image)
    x = layers.Conv2D(12, 3, groups=2, activation="relu")(x)
    return keras.Model(image, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))


def test_two_exports_in_one_process_are_the_same(tmp_path: Path) -> None:
    model = enliven(small_network("average"), PRESETS["unit"])
    first, second = (export_model(model, tmp_path / name / "bundle", preprocessing="unit").path for name in "ab")
    assert contents(first) == contents(second)
    assert MANIFEST_NAME in contents(first)


@pytest.mark.slow
def test_two_exports_in_two_processes_and_places_are_the_same(tmp_path: Path) -> None:
    enliven(small_network("flatten"), PRESETS["unit"]).save(tmp_path / "small.keras")
    for place, seed in (("here", "1"), ("there", "2")):
        (tmp_path / place).mkdir()
        source = shutil.copy(tmp_path / "small.keras", tmp_path / place)
        arguments = [sys.executable, "-c", EXPORT, source, tmp_path / place / "bundle"]
        subprocess.run(arguments, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
