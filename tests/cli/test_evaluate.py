"""`camserve evaluate`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call, run
from support.pages import page_document, write_scored_images
from support.scored_tables import PHOTOS, answer, write_answers

from camserve.clients import Prediction, ScoredRow
from camserve.serving import TritonServer


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_answers(tmp_path / "answers.csv")


def test_what_is_not_evaluated_is_named(table: Path) -> None:
    result = call("evaluate", table)
    assert result.returncode == 3
    assert "50.00% (3 of 6)" in result.stdout
    assert "18.76% to 81.24%" in result.stdout
    assert result.stderr == (
        "warning: not evaluated: 1 row with an error instead of an answer: photos/bird/6.jpg\n"
        f"warning: 1 true label in no row of {table}, so that 1 image counts as wrong: brd. Did you mean 'bird'?\n"
    )


def test_json_has_the_same_values(table: Path) -> None:
    document = json.loads(call("evaluate", table, "--json", "--first", "1").stdout)
    assert (document["accuracy"], document["rows"], document["images"]) == (0.5, 7, 6)
    assert document["interval"] == pytest.approx([0.1876, 0.8124], abs=1e-4)
    assert [each["correct"] for each in document["top"]] == [3, 4]
    assert document["classes"][2] == {
        "label": "cat",
        "support": 2,
        "predicted": 1,
        "correct": 1,
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
    }
    assert {"truth": "cat", "predicted": "dog", "images": 1} in document["confusion"]
    assert document["calibration"]["expected_error"] == pytest.approx(0.4)
    assert len(document["calibration"]["bins"]) == 10
    assert [each["path"] for each in document["mistakes"]] == ["photos/cat/2.jpg"]
    assert document["unknown"] == [{"label": "brd", "images": 1}]
    assert document["errors"] == {"rows": 1, "first": ["photos/bird/6.jpg"]}


def test_complete_tables_end_with_0(tmp_path: Path) -> None:
    result = call("evaluate", write_answers(tmp_path / "answers.csv", PHOTOS[:5]))
    assert (result.returncode, result.stderr) == (0, "")


def test_a_page_is_written_and_reported(tmp_path: Path) -> None:
    table = write_scored_images(tmp_path)
    page = tmp_path / "page.html"
    result = call("evaluate", table, "--html", page, "--images-from", tmp_path, "--html-images", "5")
    assert result.returncode == 3
    assert result.stdout.endswith(f"Page: {page} (0.0 MB), 5 of 7 rows\n")
    assert "the page lacks" not in result.stderr
    assert len(page_document(page)["rows"]) == 5
    result = call("evaluate", table, "--html", page, "--json")
    assert "warning: the page lacks 6 images of 7: cat/1.png does not exist. Use --images-from DIR" in result.stderr
    document = json.loads(result.stdout)["page"]
    assert (document["rows"], document["total"], document["missing"]) == (7, 7, 6)
    assert document["bytes"] == page.stat().st_size


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--html-images", "5"), "--html-images has no effect without a page\nhint: Add --html PAGE.html"),
        (("--exif",), "--exif has no effect without a page"),
        (("--html", "page.html", "--against", "other.csv"), "--html and --against exclude each other"),
        (("--html", "answers.csv"), "the extension of answers.csv must be .html"),
    ],
)
def test_invalid_options_of_the_page_are_refused(options: tuple[str, ...], expected: str) -> None:
    result = call("evaluate", "answers.csv", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert expected in result.stderr


def test_two_tables_are_compared(tmp_path: Path) -> None:
    first = write_answers(tmp_path / "fp32.csv", PHOTOS[:5])
    second = write_answers(tmp_path / "int8.csv", [answer("photos/cat/1.jpg", ("dog", 0.6)), *PHOTOS[1:5]])
    result = call("evaluate", first, "--against", second)
    assert (result.returncode, result.stderr.count("warning")) == (0, 0)
    assert "40.00% (-20.00 points)" in result.stdout
    assert "p = 1: these images do not show which table is better" in result.stdout
    assert "Changed answers, all 1:" in result.stdout
    document = json.loads(call("evaluate", first, "--against", second, "--json").stdout)
    assert document["accuracies"] == [0.6, 0.4]
    assert (document["only_table"], document["only_against"], document["p_value"]) == (1, 0, 1.0)
    assert document["changes"] == [{"path": "photos/cat/1.jpg", "truth": "cat", "before": "cat", "after": "dog"}]


@pytest.mark.parametrize("columns", [60, 120])
def test_many_classes_fit_the_terminal(tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        ScoredRow(f"class {number}/{image}.jpg", (Prediction(best, f"class {best}", 0.5),))
        for number in range(100)
        for image in range(3)
        for best in ((number + 1) % 100 if image < number % 3 else number,)
    ]
    write_answers(tmp_path / "answers.csv", rows)
    text = run("evaluate", "answers.csv", environment={"COLUMNS": str(columns)}).stdout
    assert max(map(len, text.splitlines())) <= columns
    assert "The 20 of 100 classes with the lowest F1; --json lists all:" in text
    assert "Most frequent confusions, 10 of 66; --json lists all:" in text
    assert "Worst mistakes, 10 of 99; --first N lists more:" in text
    assert "Confusion matrix" not in text


@pytest.mark.parametrize(
    "words", [["--match", "index"], ["--truth-column", "truth"], ["--truth", "none.csv"], ["--first", "-1"]]
)
def test_wrong_usage_ends_with_2(table: Path, words: list[str]) -> None:
    result = call("evaluate", table, *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert words[0] in result.stderr or words[1] in result.stderr
    assert "hint: " in result.stderr


@pytest.mark.slow
def test_a_table_of_all_probabilities_is_evaluated_as_scored(toy_server: TritonServer, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.fromarray(source.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"photos/{number}.png")
    server = ("--model", "toy", "--url", toy_server.grpc_url)
    table, first = tmp_path / "table.parquet", tmp_path / "first.csv"
    for path, options in ((table, ("--all-probabilities",)), (first, ())):
        assert call("score", tmp_path / "photos", *server, "--output", path, *options).returncode == 0
    with first.open(newline="") as stream:
        answers = [(Path(row["path"]).name, row["label_1"], row["label_2"]) for row in csv.DictReader(stream)]
    truth = tmp_path / "truth.csv"  # every third answer is wrong
    truth.write_text("path,label\n" + "".join(f"{a[0]},{a[1 + (n % 3 == 0)]}\n" for n, a in enumerate(answers)))
    for path in (table, first):
        result = call("evaluate", path, "--truth", truth, "--json")
        assert result.returncode == 0, result.stderr
        assert [each["correct"] for each in json.loads(result.stdout)["top"]] == [8, 12, 12, 12]


def test_evaluation_loads_only_the_client_library(table: Path) -> None:
    code = f"""if True:
        import sys
        from camserve.clients import evaluate
        evaluate({str(table)!r})
        heavy = ("tensorflow", "keras", "onnx", "onnxruntime", "scipy", "sklearn", "pandas", "pyarrow", "grpc")
        print([name for name in heavy if name in sys.modules])
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_table_of_several_versions_is_reported(tmp_path: Path) -> None:
    rows = [replace(row, model="pets", version="12"[row is PHOTOS[0]]) for row in PHOTOS[:5]]
    table = write_answers(tmp_path / "answers.csv", rows)
    result = call("evaluate", table, "--json")
    assert json.loads(result.stdout)["versions"] == [
        {"model": "pets", "version": "2", "rows": 1},
        {"model": "pets", "version": "1", "rows": 4},
    ]
    assert result.stderr == (
        f"warning: 2 versions answered the rows of {table}: version 2 of pets in 1 row, version 1 of pets in 4 rows; "
        "for the metrics of one version, score again with --pin-version\n"
    )
    one = write_answers(tmp_path / "one.csv", rows[1:])
    assert "versions answered the rows of" not in call("evaluate", one).stderr
    assert "2 versions answered" in call("evaluate", one, "--against", table).stderr
