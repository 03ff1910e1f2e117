"""The page of an evaluation, as a file."""

from __future__ import annotations

import base64
import csv
import io
import re
import tarfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image
from support.pages import ANSWERS, page_document, write_page_with_maps, write_scored_images
from support.scored_tables import answer

from camserve.clients import Prediction, ScoredRow, evaluate, write_page, write_table
from camserve.clients.evaluation.page.confusion import choose_classes
from camserve.clients.evaluation.page.selection import choose_rows
from camserve.errors import UsageError

HOSTILE = "</script><script>attack()</script><img src=x onerror=attack()>\"'&\u202e\x07"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scored_images(tmp_path_factory.mktemp("scored"))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_page_contains_every_row_and_its_image(table: Path, tmp_path: Path) -> None:
    summary = write_page(evaluate(table), tmp_path / "page.html", images_from=table.parent)
    assert (summary.rows, summary.total, summary.missing) == (7, 7, 0)
    assert summary.bytes == (tmp_path / "page.html").stat().st_size
    document = page_document(tmp_path / "page.html")
    assert document["classes"] == ["bird", "cat", "dog"]
    assert [row["path"] for row in document["rows"]] == [row.path for row in ANSWERS]
    assert document["rows"][1]["best"] == [[2, 0.9], [1, 0.1]]
    assert document["rows"][1]["truth"] == 1
    assert document["rows"][6] | {"problem": None} == {
        "path": "bird/7.png",
        "truth": 0,
        "best": [],
        "error": "bird/7.png is truncated",
        "problem": None,
    }
    assert sorted(document["cells"]) == [[0, 0, 1], [1, 1, 1], [1, 2, 2], [2, 0, 1], [2, 2, 1]]
    with Image.open(table.parent / "cat/1.png") as original:
        stored = decoded(document["rows"][0]["image"])
        assert (stored.format, stored.tobytes()) == ("PNG", original.tobytes()), "small images are stored exactly"


def test_equal_evaluations_give_equal_pages(table: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "first.html", tmp_path / "second.html"]
    for page in pages:
        write_page(evaluate(table), page, images_from=table.parent)
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_large_images_are_reduced_and_lose_their_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    image = Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")
    (tmp_path / "cat").mkdir()
    image.save(tmp_path / "cat" / "1.jpg", exif=exif)
    write_table(tmp_path / "answers.csv", [answer("cat/1.jpg", ("cat", 0.9))], top=1)
    write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html", images_from=tmp_path)
    (row,) = page_document(tmp_path / "page.html")["rows"]
    stored = decoded(row["image"])
    assert (row["size"], stored.size, stored.format) == ([1600, 1200], (256, 192), "JPEG")
    assert len(row["image"]) < 30_000
    assert not stored.getexif()


def test_missing_images_are_named_and_the_page_is_written(table: Path, tmp_path: Path) -> None:
    summary = write_page(evaluate(table), tmp_path / "page.html", images_from=tmp_path)
    assert (summary.rows, summary.missing) == (7, 6), "a row with an error needs no image"
    assert summary.first_missing == f"{tmp_path}/cat/1.png does not exist"
    assert page_document(tmp_path / "page.html")["rows"][0]["problem"] == summary.first_missing


def test_images_of_archives_and_tables_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_scored_images(tmp_path)
    image = (tmp_path / "cat/1.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    with tarfile.open("shard.tar", "w") as shard:
        shard.add("cat/1.png")
    pyarrow.parquet.write_table(pyarrow.table({"image": [b"damaged", image]}), "images.parquet")
    paths = ("shard.tar/cat/1.png", "images.parquet:2", "images.parquet:1", "shard.tar/cat/none.png", "s3://cat/1.png")
    write_table(table, [replace(ANSWERS[0], path=path) for path in paths], top=2)
    (tmp_path / "truth.csv").write_text("path,label\n" + "".join(f"{path},cat\n" for path in paths))
    summary = write_page(evaluate(table, truth="truth.csv"), "page.html")
    rows = page_document(Path("page.html"))["rows"]
    assert [row.get("size") for row in rows] == [[30, 20], [30, 20], None, None, None]
    assert summary.missing == 3
    assert rows[2]["problem"].startswith("images.parquet:1 ")
    assert rows[3]["problem"].startswith("shard.tar/cat/none.png ")
    assert rows[4]["problem"] == "s3://cat/1.png is a URL, which pages do not read"


def test_text_of_a_table_is_never_markup(tmp_path: Path) -> None:
    labels = (HOSTILE, f"b{HOSTILE}")
    rows = [
        ScoredRow(
            f"{number}{HOSTILE.replace('/', '')}.png",
            tuple(
                Prediction(index, labels[index], value) for index, value in ((number % 2, 0.8), (1 - number % 2, 0.2))
            ),
        )
        for number in range(4)
    ]
    rows.append(ScoredRow("9.png", error=HOSTILE))
    write_table(tmp_path / f"{HOSTILE.replace('/', '')}.parquet", rows, top=2)
    truth = tmp_path / "truth.csv"
    quoted = [[each.replace('"', '""') for each in (row.path, HOSTILE)] for row in rows]
    truth.write_text("path,label\n" + "".join(f'"{path}","{label}"\n' for path, label in quoted))
    page = tmp_path / "page.html"
    write_page(evaluate(tmp_path / f"{HOSTILE.replace('/', '')}.parquet", truth=truth), page)
    text = page.read_text()
    assert re.findall(r"<script[^>]*>", text) == ['<script type="application/json" id="data">', "<script>"]
    assert text.count("</script>") == 2
    assert "<img" not in text, "only the script adds images"
    assert not any(char in text for char in "\u202e\x07")
    assert page_document(page)["classes"][0].startswith("</script><script>attack()")


def test_the_policy_allows_this_script_and_style_only(table: Path, tmp_path: Path) -> None:
    write_page(evaluate(table), tmp_path / "page.html", images=0)
    text = (tmp_path / "page.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (style,), (script,) = (re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("style", "script"))
    hashes = [base64.b64encode(sha256(each.encode()).digest()).decode() for each in (style, script)]
    assert policy.replace("&#x27;", "'") == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert re.findall(r"https?:|url\(|@import| style=| on[a-z]+=", text) == []


def many_rows(images: int, classes: int = 10) -> list[ScoredRow]:
    """Return rows of which every fifth answer is wrong and every twentieth row has an error."""
    rows = []
    for number in range(images):
        truth, best = number % classes, number % classes if number % 5 else (number + 1) % classes
        top = (Prediction(best, f"class{best}", 0.5 + number / images / 2),)
        error = "corrupt" if number % 20 == 19 else None
        rows.append(ScoredRow(f"class{truth}/{number}.png", () if error else top, error))
    return rows


def test_of_many_rows_mistakes_come_first_and_every_class_has_a_sample(tmp_path: Path) -> None:
    write_table(tmp_path / "answers.csv", many_rows(1000), top=1)
    evaluation = evaluate(tmp_path / "answers.csv")
    chosen = choose_rows(evaluation, 100)
    assert chosen == sorted(set(chosen)) == choose_rows(evaluation, 100)
    failed = [row for row in chosen if row % 20 == 19]
    wrong = [row for row in chosen if row % 5 == 0]
    correct = [row for row in chosen if row % 20 != 19 and row % 5]
    assert (len(wrong), len(failed), len(correct)) == (50, 10, 40)
    assert wrong == list(range(750, 1000, 5)), "the worst mistakes"
    classes = [row % 10 for row in correct]
    assert {name: classes.count(name) for name in classes} == dict.fromkeys((1, 2, 3, 4, 6, 7, 8, 9), 5)
    assert set(choose_rows(evaluation, 40)) <= set(chosen), "fewer rows are some of them"
    assert choose_rows(evaluation, 1000) == list(range(1000))
    assert len(choose_rows(evaluation, 999)) == 999
    assert choose_rows(evaluation, 0) == []


def test_the_page_names_which_rows_it_shows(tmp_path: Path) -> None:
    write_table(tmp_path / "answers.csv", many_rows(100), top=1)
    summary = write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html", images=30)
    assert (summary.rows, summary.total) == (30, 100)
    assert "This page contains 30 of 100 rows: the worst mistakes, " in (tmp_path / "page.html").read_text()


def test_of_many_classes_the_most_confused_are_in_the_matrix(tmp_path: Path) -> None:
    rows = many_rows(3000, classes=1000)
    confused = [ScoredRow(f"class7/c{number}.png", (Prediction(900, "class900", 0.9),)) for number in range(9)]
    write_table(tmp_path / "answers.csv", [*rows, *confused], top=1)
    evaluation = evaluate(tmp_path / "answers.csv")
    classes = choose_classes(evaluation)
    assert len(classes) == 16
    assert classes[:2] == ["class7", "class900"], "classes that are confused are next to each other"
    write_page(evaluation, tmp_path / "page.html", images=0)
    text = (tmp_path / "page.html").read_text()
    assert "Shown are the 16 of 950 classes that are confused most often; they contain " in text
    assert text.count('<th scope="col" title="class') == 16


def test_values_that_are_no_probabilities_have_no_diagram(tmp_path: Path) -> None:
    rows = [answer("cat/1.png", ("cat", 7.5), ("dog", -2.0)), answer("cat/2.png", ("dog", 3.0), ("cat", 1.0))]
    write_table(tmp_path / "answers.csv", rows, top=2)
    write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html")
    assert page_document(tmp_path / "page.html")["percent"] is False
    assert "The table contains values that are no probabilities." in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"path": "page.csv"}, "the extension of page.csv must be .html"),
        ({"path": "missing/page.html"}, "missing is no folder"),
        ({"images": -1}, "the number of images must be at least 0, got -1"),
        ({"images_from": "nowhere"}, "nowhere is no folder"),
    ],
)
def test_invalid_arguments_are_refused(
    table: Path, arguments: dict[str, object], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        write_page(evaluate(table), **({"path": "page.html"} | arguments))  # type: ignore[arg-type]
    assert caught.value.message == expected
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_was_changed_is_refused(tmp_path: Path) -> None:
    table = write_scored_images(tmp_path)
    evaluation = evaluate(table)
    write_table(table, ANSWERS[:-1], top=2)
    with pytest.raises(UsageError, match="was changed since it was evaluated"):
        write_page(evaluation, tmp_path / "page.html")
    write_table(table, [*ANSWERS[:-1], replace(ANSWERS[-1], path="other.png")], top=2)
    with pytest.raises(UsageError, match="was changed since it was evaluated"):
        write_page(evaluation, tmp_path / "page.html")


def test_a_map_is_laid_over_its_image_as_the_heatmap_draws_it(tmp_path: Path) -> None:
    rows = page_document(write_page_with_maps(tmp_path))["rows"]
    assert rows[0]["place"] == [16.6667, 0.0, 66.6667, 100.0], "the map covers the center"
    assert "map" not in rows[6], "a row with an error has none"
    drawn = decoded(rows[0]["map"]).convert("RGBA")
    assert drawn.size == (128, 128)
    assert drawn.getpixel((127, 0)) == (253, 231, 36, 255), "the highest color, opaque; the page makes it transparent"
    assert drawn.getpixel((0, 127))[3] == 0  # type: ignore[index]


def test_maps_outside_of_their_image_are_counted(tmp_path: Path) -> None:
    write_page_with_maps(tmp_path)
    for path in tmp_path.glob("cat/*.png"):
        with Image.open(path) as image:
            image.crop((0, 0, 20, 20)).save(path)
    summary = write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html", images_from=tmp_path)
    assert (summary.maps, summary.misplaced) == (3, 3), "the cats are no longer the images that were scored"


def test_maps_require_the_columns_of_their_area(tmp_path: Path) -> None:
    write_page_with_maps(tmp_path)
    table = pyarrow.csv.read_csv(tmp_path / "answers.csv").drop_columns(["map_area_top"])
    pyarrow.csv.write_csv(table, tmp_path / "answers.csv")
    with pytest.raises(UsageError) as caught:
        write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html")
    assert caught.value.message.endswith("answers.csv, line 2: the table has maps, but no column map_area_top")
    assert caught.value.hint == "Score again with --maps, or delete the columns of maps"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"map_area_left": "left"}, 'answers.csv, line 2: map_area_left must be a whole number, got "left"'),
        ({"map_rows": "6"}, "answers.csv, line 2: map_grid is not a map of 6 x 5 values"),
        (
            {"map_rows": "1", "map_columns": "1", "map_grid": "AADAfw=="},
            "contains no values, or some that are not finite",
        ),
    ],
)
def test_invalid_maps_name_their_line(tmp_path: Path, cells: dict[str, str], expected: str) -> None:
    write_page_with_maps(tmp_path)
    with (tmp_path / "answers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[0].update(cells)
    with (tmp_path / "answers.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(UsageError) as caught:
        write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html")
    assert expected in caught.value.message
