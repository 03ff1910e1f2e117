"""Files of expected answers: CSV and npz, by class numbers or labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camserve.errors import UsageError
from camserve.export.expect.expected import Expected, resolve_expected
from camserve.export.expect.expected_file import read_expected

LABELS = ("n1\tcat", "n2\tdog", "n3\tfox")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


def read(folder: Path, text: str, outputs: int = 3) -> Expected:
    (folder / "expected.csv").write_text(text)
    return resolve_expected(read_expected(folder / "expected.csv"), outputs, LABELS if outputs == 3 else None)


@pytest.mark.parametrize("classes", [("1", "2"), ("dog", "fox"), ("n2", "n3")])
def test_classes_are_numbers_or_labels(classes: tuple[str, str], folder: Path) -> None:
    expected = read(folder, f"path,class\na.png,{classes[0]}\nb.png,{classes[1]}\n")
    assert expected.images == (folder / "a.png", folder / "b.png")
    assert expected.answers.classes.tolist() == [1, 2]
    assert expected.answers.probabilities is None


@pytest.mark.parametrize("columns", ["2,0,1", "fox,cat,dog"])
def test_columns_of_probabilities_are_put_into_class_order(columns: str, folder: Path) -> None:
    expected = read(folder, f"path,{columns}\na.png,0.1,0.2,0.7\nb.png,0.5,0.3,0.2\n")
    assert expected.answers.probabilities is not None
    assert expected.answers.probabilities.tolist() == [[0.2, 0.7, 0.1], [0.3, 0.2, 0.5]]
    assert expected.answers.classes.tolist() == [1, 2]


def test_one_column_of_a_sigmoid_is_that_of_class_1(folder: Path) -> None:
    expected = read(folder, "path,1\na.png,0.25\nb.png,1\n", outputs=1)
    assert expected.answers.probabilities is not None
    assert expected.answers.probabilities.tolist() == [[0.75, 0.25], [0, 1]]


def test_arrays_are_read(folder: Path) -> None:
    np.savez(folder / "p.npz", paths=["a.png", "b.png"], probabilities=np.eye(3)[:2])
    np.savez(folder / "c.npz", paths=["a.png", "b.png"], classes=np.array([0, 1]))
    for name in ("p", "c"):
        expected = resolve_expected(read_expected(folder / f"{name}.npz"), 3, None)
        assert expected.answers.classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("path,class\n", "has no images"),
        ("file,class\na.png,1\n", "has the columns file, class"),
        (",path,0,1,2\n0,a.png,1,0,0\n", "has a column without a name"),
        ("path;0;1;2\na.png;1;0;0\n", "has semicolons between the columns"),
        (",".join(map(str, range(1000))), "has the columns 0, 1, 2, 3, 4, 5, 6, 7, …; path or"),
        ("path,class\na.png,1,2\n", "has 3 values in row 2, expected 2"),
        ("path,class\nc.png,1\n", "names c.png, which is not a file in"),
        ("path,class\na.png,3\n", "names the class '3', which the model does not have"),
        ("path,class\na.png,wolf\n", "names the class 'wolf'"),
        ("path,class,0\na.png,1,1\n", "has the column class and others: class, 0"),
        ("path,0,1\na.png,1,0\n", "has 2 columns of probabilities, but the model has 3 classes"),
        ("path,0,1,1\na.png,1,0,0\n", "name a class twice"),
        ("path,0,1,2\na.png,1,x,0\n", "has the value 'x' in a column of probabilities"),
        ("path,0,1,2\na.png,1,nan,0\n", "has a value for 'a.png' that is not a number"),
    ],
)
def test_invalid_file_is_refused(text: str, message: str, folder: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read(folder, text)
    assert message in raised.value.message
    assert "--expect FILE" in str(raised.value.hint) or "--labels FILE" in str(raised.value.hint)


def test_classes_that_can_be_numbers_and_labels_are_refused(folder: Path) -> None:
    (folder / "expected.csv").write_text("path,class\na.png,0\nb.png,1\n")
    with pytest.raises(UsageError, match="can be numbers or labels, which differ"):
        resolve_expected(read_expected(folder / "expected.csv"), 2, ("1", "0"))


def test_sample_is_spread_evenly(folder: Path) -> None:
    rows = "".join(f"{'ab'[number % 2]}.png,{number % 3}\n" for number in range(9))
    sample = read(folder, f"path,class\n{rows}").sample(3)
    assert sample.names == ("a.png", "a.png", "a.png")
    assert sample.answers.classes.tolist() == [0, 1, 2]
    assert sample.sample(5) is sample


def test_pickled_arrays_are_refused(folder: Path) -> None:
    np.savez(folder / "p.npz", paths=np.array(["a.png"], object), classes=np.array([0]))
    with pytest.raises(UsageError, match="cannot read"):
        read_expected(folder / "p.npz")


def test_class_arrays_with_several_values_for_an_image_are_refused(folder: Path) -> None:
    np.savez(folder / "c.npz", paths=["a.png", "b.png"], classes=np.eye(3, dtype=int)[:2])
    with pytest.raises(UsageError, match="has 6 values in classes, expected one for each of 2 paths"):
        read_expected(folder / "c.npz")


def test_label_of_several_classes_is_refused(folder: Path) -> None:
    labels = ("n1\tcrane", "n2\tdog", "n3\tcrane")
    for classes, known in (("crane", False), ("n3", True)):
        (folder / "expected.csv").write_text(f"path,class\na.png,{classes}\nb.png,{classes}\n")
        file = read_expected(folder / "expected.csv")
        if known:
            assert resolve_expected(file, 3, labels).answers.classes.tolist() == [2, 2]
        else:
            with pytest.raises(UsageError, match="is the label of classes 0 and 2"):
                resolve_expected(file, 3, labels)
