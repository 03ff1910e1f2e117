"""Files of boxes: what is read, where boxes are in the network's input, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.contracts import contract_of_input

from camserve.contract import PRESETS
from camserve.errors import UsageError
from camserve.export.quality.boxes import read_boxes
from camserve.export.quality.images import read_boxed_images

HEADER = "path,class,xmin,ymin,xmax,ymax"
LABELS = ("n01\tcat", "n02\tdog")


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 20)).save(folder / name)
    path = folder / "boxes.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_lines_are_read_with_other_columns_and_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, "0,20,a.png,x,10,5,cat", header="xmin,xmax,path,source,ymax,ymin,label")
    (line,) = read_boxes(path).lines
    assert (line.line, line.label, line.box) == (2, "cat", (0, 5, 20, 10))
    assert line.image == tmp_path / "a.png"


def test_boxes_are_moved_and_scaled_as_the_image(tmp_path: Path) -> None:
    path = write(tmp_path, "a.png,cat,10,0,20,10", "a.png,dog,5,0,15,20", "b.png,dog,0,0,40,20", "a.png,cat,0,0,10,20")
    preset = PRESETS["unit"].model_copy(update={"fit": "center-crop"})  # from x 10 to 30, halved
    found = read_boxed_images(read_boxes(path), contract_of_input(preset, (10, 10)), LABELS)
    assert found.pixels.shape == (2, 10, 10, 3)
    boxes = [(each.image, each.class_number, each.boxes.tolist()) for each in found.objects]
    assert boxes == [(0, 0, [[0, 0, 5, 5]]), (0, 1, [[0, 0, 2.5, 10]]), (1, 1, [[0, 0, 10, 10]])]
    assert found.outside == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.png,cat,1,1,5,5", "a.png,cat,9,1,5,5"], "line 3 of .*boxes.csv has xmin 9 and xmax 5, which is no box"),
        (["a.png,cat,1,1,5,x"], "line 2 of .*boxes.csv has ymax 'x', expected a number of at least 0"),
        (["a.png,cat,1,1,5"], "line 2 of .*boxes.csv has ymax '', expected a number of at least 0"),
        (["a.png,cat,-1,1,5,5"], "line 2 of .*boxes.csv has xmin '-1', expected a number of at least 0"),
        (["a.png,,1,1,5,5"], "line 2 of .*boxes.csv has no class"),
        (["a.png,cat,1,5,1,5,9,5,9,5"], "line 2 of .*boxes.csv has more values than there are columns"),
        (["gone.png,cat,1,1,5,5"], "line 2 of .*boxes.csv names gone.png, which is not a file in"),
        (["a.png,cat,0.1,0.1,0.5,0.6"], "no coordinate in .*boxes.csv is above 1, as if they were shares"),
        ([], "boxes.csv contains no boxes"),
    ],
)
def test_faulty_file_is_refused_by_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read_boxes(write(tmp_path, *lines))
    assert "--boxes FILE" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,class,x,y,w,h", "has no columns 'xmin', 'ymin', 'xmax', 'ymax'"),
        ("path,xmin,ymin,xmax,ymax", "has no column 'class'"),
        (HEADER.replace(",", ";"), "its columns are separated by semicolons, expected commas"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_boxes(write(tmp_path, "a.png,cat,1,1,5,5", header=header))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a.png,cat,1,1,50,5",
            r"line 2 of .*boxes.csv has a box to \(50, 5\), which exceeds the image of 40 x 20 pixels",
        ),
        ("a.png,bird,1,1,5,5", "line 2 of .*boxes.csv names the class 'bird', which the model does not have"),
        ("broken.png,cat,1,1,5,5", "line 2 of .*boxes.csv names broken.png, which cannot be used: "),
    ],
)
def test_box_that_does_not_fit_the_image_or_model_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    file = read_boxes(write(tmp_path, line))
    with pytest.raises(UsageError, match=message):
        read_boxed_images(file, contract_of_input(PRESETS["unit"], (10, 10)), LABELS)


def test_numbers_and_labels_in_one_file_are_refused(tmp_path: Path) -> None:
    file = read_boxes(write(tmp_path, "a.png,cat,1,1,5,5", "a.png,1,1,1,5,5"))
    with pytest.raises(UsageError, match=r"boxes\.csv are numbers in some lines and labels in others"):
        read_boxed_images(file, contract_of_input(PRESETS["unit"], (10, 10)), LABELS)


def test_images_beyond_the_most_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.export.quality.images._MOST_BOXED", 1)
    file = read_boxes(write(tmp_path, "a.png,cat,1,1,5,5", "b.png,cat,1,1,5,5"))
    found = read_boxed_images(file, contract_of_input(PRESETS["unit"], (10, 10)), LABELS)
    assert (len(found.pixels), found.unread) == (1, 1)


def test_box_may_count_pixels_from_one(tmp_path: Path) -> None:
    file = read_boxes(write(tmp_path, "a.png,cat,1,1,41,21"))
    (found,) = read_boxed_images(file, contract_of_input(PRESETS["unit"], (20, 40)), LABELS).objects
    np.testing.assert_array_equal(found.boxes, [[1, 1, 40, 20]])
