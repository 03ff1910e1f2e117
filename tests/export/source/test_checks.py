"""Checks of the source options, before a framework is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from camserve.errors import SourceError, UsageError
from camserve.export.source.checks import check_source
from camserve.export.source.locate import class_count

ZIP = b"PK\x03\x04"
"""How a `.keras` file begins."""


def test_valid_source_returns_its_paths(tmp_path: Path) -> None:
    model, weights = tmp_path / "model.keras", tmp_path / "own.weights.h5"
    model.write_bytes(ZIP)
    weights.write_bytes(ZIP)
    assert check_source(model, str(weights), sha256=None, custom_objects=["package.module"]) == (model, weights)
    assert check_source("resnet-mini", "none", sha256=None, custom_objects=()) == (None, None)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError, match=r"model file .*cat\.jpg is an image"):
        check_source(tmp_path / "cat.jpg", None, sha256=None, custom_objects=())
    with pytest.raises(SourceError, match=r"weights file .*cat\.jpg is an image"):
        check_source("resnet-mini", str(tmp_path / "cat.jpg"), sha256=None, custom_objects=())


def test_number_of_classes_must_suit_the_source(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(ZIP)

    def check(source: str | Path, weights: str | None, classes: int) -> None:
        check_source(source, weights, sha256=None, custom_objects=(), classes=classes)

    check("keras:MobileNetV2", "none", 7)
    check("resnet-mini", None, 7)
    check("resnet50", None, 1000)
    for source, weights, classes, message in (
        ("keras:MobileNetV2", None, 7, r"have 1,000 classes, but --classes is 7"),
        ("resnet50", "imagenet", 7, r"have 1,000 classes, but --classes is 7"),
        ("resnet-mini", None, 0, "classes must be at least 1, got 0"),
        (tmp_path / "model.keras", None, 7, r"recipes and keras:NAME only; .*model\.keras has its own"),
    ):
        with pytest.raises(UsageError, match=message):
            check(source, weights, classes)


def test_invalid_options_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits, got 'abc'"):
        check_source("resnet-mini", None, sha256="abc", custom_objects=())
    with pytest.raises(UsageError, match=r"got the file name 'layers\.py'"):
        check_source("resnet-mini", None, sha256=None, custom_objects=["layers.py"])


def test_classes_are_known_of_recipes_but_not_of_files_named_like_one(tmp_path: Path) -> None:
    assert class_count("resnet-mini") == 10
    assert class_count("keras:MobileNetV2") == 1000
    assert class_count(tmp_path / "resnet50") is None
    assert class_count(Path("resnet50")) is None


def test_checks_load_no_framework() -> None:
    program = (
        "import sys, camserve.export.source.checks; print({'keras', 'tensorflow', 'onnx', 'h5py'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
