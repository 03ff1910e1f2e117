"""`camserve export`: what it prints, and where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import run

from camserve.bundle import load_bundle
from camserve.cli.export import worst_figures


@pytest.mark.slow
def test_export_and_publish_in_one_step(tmp_path: Path) -> None:
    bundle, repository = tmp_path / "bundle", tmp_path / "repository"
    result = run("export", "resnet-mini", "--weights", "none", "--out", bundle, "--publish", repository, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["bundle"] == str(bundle)
    assert document["parity"] == load_bundle(bundle).report["parity"]
    assert document["published"]["path"] == str(repository / "resnet-mini" / "1")
    phases = re.findall(r"^\[ *\d+\.\d s\] (.+)$", result.stderr, re.MULTILINE)
    assert phases[0] == "load TensorFlow"
    assert phases[-1] == "publish"


def test_a_source_that_is_no_model_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "model.keras"
    source.write_bytes(b"no model")
    result = run("export", source, "--out", tmp_path / "bundle", "--publish", tmp_path / "repository")
    assert result.returncode == 1
    assert str(source) in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_the_worst_of_all_batches_is_shown() -> None:
    row = {"format": "onnx", "figure": "cam_identity", "bound": 1e-4, "passed": True}
    parity = [row | {"batch": batch, "value": value} for batch, value in ((1, 1e-7), (3, 4e-6), (8, 2e-7))]
    assert worst_figures(parity) == [("onnx", "cam identity", "4.0e-06", "1.0e-04", "1, 3, 8")]
