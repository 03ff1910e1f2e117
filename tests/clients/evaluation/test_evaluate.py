"""Evaluations of tables whose values were computed by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.scored_tables import PHOTOS, answer, write_answers

from camserve.clients import AnsweringVersion, Evaluation, ScoredRow, SkippedRows, compare_tables, evaluate
from camserve.errors import UsageError


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_an_evaluation_has_the_values_computed_by_hand(tmp_path: Path, extension: str) -> None:
    found = evaluate(write_answers(tmp_path / f"table.{extension}"))
    assert (found.rows, found.images, found.repeated, found.shared) == (7, 6, 0, ())
    assert [(each.top, each.correct) for each in found.top] == [(1, 3), (2, 4)]
    assert found.accuracy == 0.5
    assert found.errors == SkippedRows(1, ("photos/bird/6.jpg",))
    assert found.unmatched == SkippedRows(0)
    assert [(each.label, each.support, each.predicted, each.correct) for each in found.classes] == [
        ("bird", 1, 3, 1),
        ("brd", 1, 0, 0),
        ("cat", 2, 1, 1),
        ("dog", 2, 2, 1),
    ]
    assert found.balanced_accuracy == pytest.approx((1 + 0 + 1 / 2 + 1 / 2) / 4)
    assert found.macro_f1 == pytest.approx((1 / 2 + 0 + 2 / 3 + 1 / 2) / 4)
    assert found.confusion_matrix().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    assert found.calibration is not None
    assert found.calibration.expected_error == pytest.approx(0.4, abs=1e-6)
    assert [(each.path, each.truth, each.predicted, each.rank) for each in found.mistakes] == [
        ("photos/cat/2.jpg", "cat", "dog", 2),
        ("photos/brd/7.jpg", "brd", "bird", None),
        ("photos/dog/4.jpg", "dog", "bird", None),
    ]
    assert [each.probability for each in found.mistakes] == pytest.approx([0.9, 0.8, 0.35], rel=1e-6)
    assert found.unknown == (("brd", 1),)


def truth_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text("\n".join(("path,label", *lines)) + "\n")
    return path


def test_labels_of_a_file_are_matched_by_the_end_of_the_path(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.csv")
    lines = ("photos/cat/1.jpg,dog", "cat/2.jpg,dog", "./3.jpg,dog", "missing.jpg,cat", "6.jpg,bird")
    found = evaluate(table, truth=truth_file(tmp_path, *lines))
    assert (found.images, found.top[0].correct, found.errors.rows) == (3, 2, 1)
    assert found.unmatched == SkippedRows(3, ("photos/dog/4.jpg", "photos/bird/5.jpg", "photos/brd/7.jpg"))


def test_absolute_paths_match_relative_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = write_answers(tmp_path / "table.csv")
    assert evaluate(table, truth=truth_file(tmp_path, f"{tmp_path}/photos/cat/1.jpg,cat")).images == 1
    write_answers(table, [answer(str(tmp_path / "photos/cat/1.jpg"), ("cat", 1.0))])
    assert evaluate(table, truth=truth_file(tmp_path, "photos/cat/1.jpg,cat")).accuracy == 1


def test_the_end_of_two_paths_is_refused(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.csv", [answer(f"{each}/1.jpg", ("cat", 1.0)) for each in ("cat", "dog")])
    with pytest.raises(UsageError, match=r"'1.jpg' is the end of several paths of the table: 'cat/1.jpg', 'dog/1.jpg'"):
        evaluate(table, truth=truth_file(tmp_path, "1.jpg,cat"))


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_true_labels_in_a_column(tmp_path: Path, extension: str) -> None:
    table = write_answers(tmp_path / f"table.{extension}", PHOTOS[:5])
    # Any column can be it: here that of the second rank.
    found = evaluate(table, truth_column="label_2")
    assert [(each.top, each.correct) for each in found.top] == [(1, 0), (2, 5)]
    with pytest.raises(UsageError, match=r"there is no column 'label_3'.*Did you mean 'label_"):
        evaluate(table, truth_column="label_3")


def test_numbers_of_classes_are_matched_by_request(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.parquet")
    truth = truth_file(tmp_path, "cat/1.jpg,0", "cat/2.jpg,0", "dog/3.jpg,1")
    assert evaluate(table, truth=truth, match="class").top[0].correct == 2
    with pytest.raises(UsageError, match=r"none of the true labels '0', '1' is a label of .*--match class"):
        evaluate(table, truth=truth)
    with pytest.raises(UsageError, match=r"none of the true labels .* is a class of .*Use --match label"):
        evaluate(table, match="class")


def test_a_label_of_two_classes_is_named(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,class_1,label_1,probability_1,error\ncrane/1.jpg,134,crane,1,\ncrane/2.jpg,517,crane,1,\n")
    assert evaluate(table).shared == ("crane",)


def test_rows_of_one_path_are_counted_each(tmp_path: Path) -> None:
    found = evaluate(write_answers(tmp_path / "table.csv", [PHOTOS[0], PHOTOS[0], PHOTOS[1]]))
    assert (found.images, found.repeated, found.top[0].correct) == (3, 1, 2)


def test_images_without_a_folder_have_no_true_label(tmp_path: Path) -> None:
    rows = [answer("cat/1.jpg", ("cat", 1.0)), answer("2.jpg", ("cat", 1.0)), answer("../3.jpg", ("cat", 1.0))]
    assert evaluate(write_answers(tmp_path / "table.csv", rows)).unmatched == SkippedRows(2, ("2.jpg", "../3.jpg"))
    with pytest.raises(
        UsageError, match=r"no row of .* has a true label, such as 2.jpg. Pass the true labels: --truth"
    ):
        evaluate(write_answers(tmp_path / "table.csv", rows[1:]))


def test_labels_of_no_row_are_refused(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.csv", [answer("held-out/1.jpg", ("cat", 1.0))])
    with pytest.raises(UsageError, match=r"none of the true labels 'held-out' is a label of .*, which contains 'cat'"):
        evaluate(table)


def test_errors_alone_are_refused(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.csv", [ScoredRow("cat/1.jpg", error="bad")])
    with pytest.raises(UsageError, match=r"all rows of .* contain an error"):
        evaluate(table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"truth": "t.csv", "truth_column": "x"}, "exclude each other"),
        ({"match": "index"}, "match must be label or class"),
        ({"mistakes": -1}, "mistakes must be at least 0"),
        ({"mistakes": 1.5}, "invalid type for mistakes"),
        ({"truth": None}, "invalid type for truth"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate("missing.csv", **arguments)  # type: ignore[arg-type]


def test_the_number_of_mistakes_is_limited(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.csv")
    found: list[Evaluation] = [evaluate(table, mistakes=number) for number in (0, 2)]
    assert [[each.path for each in one.mistakes] for one in found] == [[], ["photos/cat/2.jpg", "photos/brd/7.jpg"]]


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (AnsweringVersion("ResNet", "3", 1), "version 3 of ResNet"),
        (AnsweringVersion("", "3", 1), "version 3"),
        (AnsweringVersion("ResNet", "", 1), "version (not reported) of ResNet"),
    ],
)
def test_a_version_is_named_as_far_as_the_table_tells(version: AnsweringVersion, name: str) -> None:
    assert version.name == name


def test_the_versions_that_answered_are_counted(tmp_path: Path) -> None:
    rows = [
        *(replace(row, model="pets", version="2" if row.path < "photos/cat/2" else "10") for row in PHOTOS[:5]),
        PHOTOS[5],
    ]
    for extension in ("csv", "parquet"):
        found = evaluate(write_answers(tmp_path / f"table.{extension}", rows))
        assert found.versions == (AnsweringVersion("pets", "2", 2), AnsweringVersion("pets", "10", 3))
    assert evaluate(write_answers(tmp_path / "without.jsonl")).versions == ()
    compared = compare_tables(tmp_path / "table.csv", write_answers(tmp_path / "other.csv", rows[:1]))
    assert (compared.versions, compared.versions_against) == (found.versions, (AnsweringVersion("pets", "2", 1),))
