"""`camserve evaluate` on images, which are scored first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call

from camserve.bundle import Bundle
from camserve.clients import evaluate_images, write_page
from camserve.errors import UsageError
from camserve.serving import TritonServer


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in range(12):
        path = tmp_path / "photos" / f"class {number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 11, 3), np.uint8)).save(path)
    (tmp_path / "photos" / "class 1" / "bad.png").write_bytes(b"no image")
    (tmp_path / "photos" / ".hidden").touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    return Path("photos")


def test_a_folder_is_evaluated_as_the_table_of_its_images(
    photos: Path, toy_bundle: Bundle, toy_server: TritonServer, tmp_path: Path
) -> None:
    found = call("evaluate", photos, "--bundle", toy_bundle.path, "--json")
    assert found.returncode == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []
    served = call("evaluate", photos, "--model", "toy", "--url", toy_server.grpc_url, "--output", "kept.csv", "--json")
    of_table = call("evaluate", "kept.csv", "--json")
    assert json.loads(served.stdout) == json.loads(of_table.stdout)
    document, expected = json.loads(found.stdout), json.loads(of_table.stdout)
    assert (document["rows"], document["images"], document["errors"]["rows"]) == (13, 12, 1)
    assert document["versions"][0]["version"].startswith("bundle-")
    assert (document.pop("table"), expected.pop("table")) == ("photos", "kept.csv")
    assert document.pop("versions")[0]["rows"] == expected.pop("versions")[0]["rows"] == 12
    assert document == expected


def test_errors_and_what_is_left_out_are_named(photos: Path, toy_bundle: Bundle) -> None:
    result = call("evaluate", photos, "--bundle", toy_bundle.path)
    assert "warning: photos/class 1/bad.png is not an image of a supported format" in result.stderr
    assert "Left out: 1 hidden file ('photos/.hidden')" in result.stderr
    assert "13 images in " in result.stderr
    assert result.stdout.startswith("photos: 12 images evaluated\n")
    nothing = call("evaluate", photos / "class 1" / "bad.png", "--bundle", toy_bundle.path)
    assert nothing.returncode == 2
    assert "all rows of photos/class 1/bad.png contain an error" in nothing.stderr


def test_a_page_of_a_folder_has_its_name_images_and_maps(photos: Path, toy_bundle: Bundle) -> None:
    command = ("evaluate", photos, "--bundle", toy_bundle.path, "--maps", "--html", "page.html", "--json")
    page = json.loads(call(*command).stdout)["page"]
    assert (page["rows"], page["missing"], page["maps"]) == (13, 0, 12)
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<h1>Evaluation of photos</h1>" in text
    assert "<title>photos: evaluation</title>" in text


def test_the_current_folder_is_evaluated(photos: Path, toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    result = call("evaluate", ".", "--bundle", toy_bundle.path)
    assert result.returncode == 3, result.stderr
    assert result.stdout.startswith(".: 12 images evaluated\n")


def test_a_folder_is_compared_with_a_table(photos: Path, toy_bundle: Bundle) -> None:
    scored = call("score", photos, "--bundle", toy_bundle.path, "--output", "before.csv")
    assert scored.returncode == 3, scored.stderr
    result = call("evaluate", photos, "--bundle", toy_bundle.path, "--against", "before.csv", "--json")
    document = json.loads(result.stdout)
    assert "table" in document, result
    assert (document["table"], document["against"]) == ("photos", "before.csv")
    assert (document["images"], document["changed"]) == (12, 0)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("photos",), "folder photos contains no table", "Add --model NAME or --bundle DIR to score"),
        (("https://example.org/a.csv",), "TABLE must be a local path, got the URL", "Download it first"),
        (("photos/class 0/0.png",), "must be .csv, .jsonl, .parquet", "for images, add --model NAME or --bundle DIR"),
        (("a.csv", "b.csv"), "2 tables were given, and one is evaluated", "--against TABLE"),
        (("a.csv", "--crops", "3"), "--crops concerns the scoring of images", "Leave out --crops"),
        (("a.csv", "--url", "localhost:1"), "--url concerns the scoring of images", "Leave out --url"),
        (("photos", "--bundle", "B", "--url", "localhost:1"), "--url concerns a server", "Leave out --url"),
        (("photos", "--bundle", "B", "--model", "toy"), "--model and --bundle exclude each other", "or --bundle DIR"),
        (
            ("photos", "--bundle", "B", "--truth-column", "x"),
            "--truth-column names a column of a table",
            "--truth FILE",
        ),
        (("photos", "--bundle", "B", "--truth", "none.csv"), "cannot read true labels from none.csv", "--truth FILE"),
        (("photos", "--bundle", "B", "--against", "none.csv"), "none.csv does not exist", "--against"),
        (
            ("photos", "--bundle", "B", "--against", "temporary"),
            "temporary contains no .parquet file",
            "camserve score",
        ),
        (("photos", "--bundle", "B", "--resume"), "--resume has no effect without a table", "Add --output FILE"),
        (("none", "--bundle", "B"), "none does not exist", "Check the path"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_scoring(
    photos: Path, options: tuple[str, ...], message: str, hint: str
) -> None:
    result = call("evaluate", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert hint in result.stderr


def test_images_are_evaluated_from_python(photos: Path, toy_bundle: Bundle, tmp_path: Path) -> None:
    found = evaluate_images([photos], bundle=toy_bundle.path, mistakes=2)
    assert (found.table, found.images, found.errors.rows, len(found.mistakes)) == ("photos", 12, 1, 2)
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(UsageError, match="the table with the answers for photos was temporary"):
        write_page(found, "page.html")
    kept = evaluate_images([photos], bundle=toy_bundle.path, output="kept.parquet", mistakes=2)
    assert (kept.table, kept.confusion) == ("kept.parquet", found.confusion)
    Path("truth.csv").write_text("path,label\n1.png,nothing\n")
    with pytest.raises(UsageError, match="none of the true labels 'nothing' is a label of photos and 1 other input"):
        evaluate_images([photos, photos], bundle=toy_bundle.path, truth="truth.csv")
