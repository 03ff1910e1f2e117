"""The folder of a bundle: other files are never replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.odd_models import classifier, dense

from camserve.bundle import load_bundle
from camserve.errors import UsageError
from camserve.export import export_model


def test_only_an_unchanged_bundle_is_replaced(tmp_path: Path) -> None:
    model, out = classifier(dense), tmp_path / "bundle"
    export_model(model, out, preprocessing="unit", resize="nearest", formats="onnx")
    (out / "NOTES.md").write_text("mine")
    with pytest.raises(UsageError, match="contains files other than"):
        export_model(model, out, preprocessing="unit", resize="nearest", formats="onnx")
    assert (out / "NOTES.md").read_text() == "mine"
    site = tmp_path / "site"
    site.mkdir()
    (site / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(UsageError, match="contains files other than"):
        export_model(model, site, preprocessing="unit", resize="nearest", formats="onnx")


def test_invalid_options_keep_the_previous_bundle(tmp_path: Path) -> None:
    model, out = classifier(dense), tmp_path / "bundle"
    earlier = export_model(model, out, preprocessing="unit", resize="nearest", formats="onnx")
    for options in ({"labels": ["a\nb", "c", "d"]}, {"labels": ["", "b", "c"]}, {"resize": "cubic"}, {"fit": "tile"}):
        with pytest.raises(UsageError):
            export_model(model, out, **{"preprocessing": "unit", "resize": "nearest", **options})  # type: ignore[arg-type]
    assert load_bundle(out) == earlier


def test_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for out in (".", ".."):
        with pytest.raises(UsageError, match="current folder"):
            export_model(classifier(dense), out, preprocessing="unit", resize="nearest")


def test_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    export_model(classifier(dense), tmp_path / "link", preprocessing="unit", resize="nearest", formats="onnx")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / "model.onnx").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]
