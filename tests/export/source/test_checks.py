"""Checks of the source options, before a framework is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from camserve.errors import SourceError, UsageError
from camserve.export.source.checks import check_source
from camserve.export.source.locate import class_count


def test_valid_source_returns_its_paths(tmp_path: Path) -> None:
    model, weights = tmp_path / "model.keras", tmp_path / "own.weights.h5"
    model.touch()
    weights.touch()
    assert check_source(model, str(weights), sha256=None, custom_objects=["package.module"]) == (model, weights)
    assert check_source("resnet-mini", "none", sha256=None, custom_objects=()) == (None, None)


def test_unsupported_extension_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError, match=r"XX'"):
        check_source(tmp_path / "cat.jpg", None, sha256=None, custom_objects=())
    with pytest.raises(SourceError, match=r"weights file .* unsupported extension '\.jpg'"):
        check_source("resnet-mini", str(tmp_path / "cat.jpg"), sha256=None, custom_objects=())


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
    program = "import sys, camserve.export.source.checks; print({'keras', 'tensorflow', 'onnx'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
