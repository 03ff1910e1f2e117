"""Comparisons of two tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scored_tables import PHOTOS, answer, write_answers

from camserve.clients import ChangedAnswer, ScoredRow, SkippedRows, compare_tables
from camserve.errors import UsageError


def test_a_comparison_has_the_values_counted_by_hand(tmp_path: Path) -> None:
    first = write_answers(tmp_path / "first.csv")
    second = write_answers(
        tmp_path / "second.parquet",
        [
            answer("photos/new/8.jpg", ("cat", 1.0)),
            answer("./photos/dog/4.jpg", ("cat", 0.5)),  # wrong otherwise
            answer("photos/bird/5.jpg", ("cat", 0.5)),  # wrong now
            answer("photos/cat/2.jpg", ("cat", 0.5)),  # correct now
            answer("photos/cat/1.jpg", ("cat", 0.5)),
            ScoredRow("photos/dog/3.jpg", error="bad"),
            answer("photos/bird/6.jpg", ("bird", 0.5)),
        ],
    )
    found = compare_tables(first, second)
    assert (found.both_correct, found.only_table, found.only_against, found.both_wrong) == (1, 1, 1, 1)
    assert (found.images, found.accuracies, found.p_value, found.changed) == (4, (0.5, 0.5), 1.0, 3)
    assert found.changes == (
        ChangedAnswer("photos/cat/2.jpg", "cat", "dog", "cat"),
        ChangedAnswer("photos/bird/5.jpg", "bird", "bird", "cat"),
        ChangedAnswer("photos/dog/4.jpg", "dog", "bird", "cat"),
    )
    assert found.missing_in_table == SkippedRows(1, ("photos/new/8.jpg",))
    assert found.missing_in_against == SkippedRows(1, ("photos/brd/7.jpg",))
    assert found.errors == SkippedRows(2, ("photos/dog/3.jpg", "photos/bird/6.jpg"))
    assert found.unmatched == SkippedRows(0)
    assert found.unknown == (("dog", 1),)  # in no row of the second table
    assert len(compare_tables(first, second, changes=1).changes) == 1


def test_the_sign_test_counts_only_images_that_one_table_classifies_correctly(tmp_path: Path) -> None:
    def rows(correct: int) -> list[ScoredRow]:
        return [answer(f"cat/{number}.jpg", ("cat" if number < correct else "dog", 1.0)) for number in range(20)]

    found = compare_tables(write_answers(tmp_path / "a.csv", rows(19)), write_answers(tmp_path / "b.csv", rows(12)))
    assert (found.both_correct, found.only_table, found.only_against, found.both_wrong) == (12, 7, 0, 1)
    assert found.p_value == pytest.approx(2 / 2**7)


def test_a_table_against_itself_changes_nothing(tmp_path: Path) -> None:
    table = write_answers(tmp_path / "table.csv")
    found = compare_tables(table, table)
    assert (found.both_correct, found.both_wrong, found.changed, found.p_value) == (3, 3, 0, 1.0)


def test_rows_of_one_path_are_matched_in_order(tmp_path: Path) -> None:
    first = [answer("cat/1.jpg", ("cat", 1.0)), answer("cat/1.jpg", ("dog", 1.0))]
    found = compare_tables(
        write_answers(tmp_path / "a.csv", first),
        write_answers(tmp_path / "b.csv", [*first, answer("cat/1.jpg", ("cat", 1.0))]),
    )
    assert (found.images, found.changed, found.missing_in_table.rows) == (2, 0, 1)


def test_tables_without_a_common_path_are_refused(tmp_path: Path) -> None:
    first = write_answers(tmp_path / "a.csv", [PHOTOS[0]])
    second = write_answers(tmp_path / "b.csv", [PHOTOS[1]])
    with pytest.raises(UsageError, match=r"no path of .*a\.csv is in .*b\.csv: photos/cat/1.jpg, and photos/cat/2.jpg"):
        compare_tables(first, second)


def test_a_table_with_other_labels_is_refused(tmp_path: Path) -> None:
    first = write_answers(tmp_path / "a.csv", [PHOTOS[0]])
    second = tmp_path / "b.csv"
    second.write_text(first.read_text().replace(",cat,", ",Cat,"))
    with pytest.raises(UsageError, match=r"none of the true labels 'cat' is a label of .*b\.csv"):
        compare_tables(first, second)


def test_images_without_a_true_label_are_counted(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\nphotos/cat/1.jpg,cat\n")
    table = write_answers(tmp_path / "table.csv")
    found = compare_tables(table, table, truth=truth)
    assert (found.images, found.unmatched.rows, found.errors.rows) == (1, 5, 1)
