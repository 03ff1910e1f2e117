from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest

from camserve.clients.scoring.inputs import find_items
from camserve.clients.scoring.inputs.braces import expand_braces
from camserve.errors import UsageError
from camserve.images.left_out import LeftOut


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_images_of_a_folder_are_named_by_their_path_in_it(tmp_path: Path) -> None:
    touch(tmp_path / "in", "b/2.jpg", "a/z/1.png", "notes.txt", "c.gif")
    left_out = LeftOut()
    items = find_items([tmp_path / "in", f"{tmp_path}/in/c.gif", f"{tmp_path}/in/?"], left_out=left_out)
    found = [(item.path.removeprefix(f"{tmp_path}/"), item.id.removeprefix(f"{tmp_path}/")) for item in items]
    in_folder = [("in/a/z/1.png", "a/z/1.png"), ("in/b/2.jpg", "b/2.jpg"), ("in/c.gif", "c.gif")]
    assert found == [*in_folder, ("in/c.gif", "in/c.gif"), ("in/a/z/1.png", "z/1.png"), ("in/b/2.jpg", "2.jpg")]
    assert left_out.counts == {"not_images": 1}


def test_items_are_found_again_in_each_iteration_and_left_out_is_counted_once(tmp_path: Path) -> None:
    left_out = LeftOut()
    items = find_items([touch(tmp_path, "a.jpg", "b.txt")], left_out=left_out)
    assert items.count() == len(list(items)) == len(list(items)) == 1
    assert left_out.counts == {"not_images": 1}


def test_what_is_left_out_is_logged_once_unless_it_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = find_items([touch(tmp_path, "a.jpg", ".b.jpg")])
    with caplog.at_level(logging.WARNING):
        assert items.count() == len(list(items)) == 1
    assert caplog.messages == [f"left out: 1 hidden file ('{tmp_path}/.b.jpg')"]


def test_items_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    (item,) = find_items([touch(tmp_path, "a.jpg")])
    assert pickle.loads(pickle.dumps(item)) == item
    assert pickle.loads(pickle.dumps(item)).source.read(100) == b"a.jpg"


def test_a_url_of_a_file_is_the_file(tmp_path: Path) -> None:
    touch(tmp_path, "a b.jpg")
    (item,) = find_items([f"file://{tmp_path}/a%20b.jpg"])
    assert (item.path, item.source.read(100)) == (f"{tmp_path}/a b.jpg", b"a b.jpg")
    (item,) = find_items([f"file://{tmp_path}"])
    assert (item.path, item.id) == (f"{tmp_path}/a b.jpg", "a b.jpg")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("a{1,2}b", ["a1b", "a2b"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}{0..1}", ["a0", "a1", "b0", "b1"]),
        ("{a}{}", ["{a}{}"]),
        ("{a,}", ["a", ""]),
    ],
)
def test_braces_are_expanded_as_by_the_shell(text: str, expanded: list[str]) -> None:
    assert list(expand_braces(text)) == expanded


def test_braces_that_are_in_a_name_are_not_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "a{1,2}.jpg")
    assert [item.path for item in find_items([tmp_path / "a{1,2}.jpg"])] == [f"{tmp_path}/a{{1,2}}.jpg"]


def test_options_of_tables_require_a_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--path-column and --id-column apply to tables, and no input is one"):
        find_items([touch(tmp_path, "a.jpg") / "a.jpg"], path_column="x", id_column="y").count()
    with pytest.raises(UsageError, match="--path-column and --bytes-column cannot be combined"):
        find_items([tmp_path], path_column="x", bytes_column="y")


def test_inputs_that_do_not_exist_are_found_before_any_is_scored(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    find_items([tmp_path, f"{tmp_path}/a.*", "s3://bucket/a.jpg"]).check_exist()
    with pytest.raises(UsageError, match=r"b.jpg does not exist or cannot be read"):
        find_items([f"{tmp_path}/{{a,b}}.jpg"]).check_exist()
    with pytest.raises(UsageError, match="- does not exist") as error:
        find_items(["-"]).check_exist()
    assert error.value.hint == "Pass a list on standard input by --files-from -"


def test_an_input_is_not_the_output(tmp_path: Path) -> None:
    touch(tmp_path, "t.csv", "list", "a.jpg")
    (tmp_path / "link.csv").symlink_to("t.csv")
    items = find_items([tmp_path, f"{tmp_path}/t.*"], files_from=tmp_path / "list")
    items.check_kept(tmp_path / "new.csv")
    items.check_kept(tmp_path / "a.jpg")
    for name in ("t.csv", "link.csv", "list"):
        with pytest.raises(UsageError, match=rf"is an input, and the output \S+{name} would replace it"):
            items.check_kept(tmp_path / name)


def test_an_input_is_no_part_of_the_data_set_to_write(tmp_path: Path) -> None:
    touch(tmp_path, "answers/part-00000.parquet", "answers/_SUCCESS")
    (tmp_path / "link.parquet").symlink_to("answers/part-00000.parquet")
    find_items([tmp_path / "answers"]).check_kept(f"{tmp_path}/other/")
    for name in ("answers/*.parquet", "link.parquet"):
        with pytest.raises(UsageError, match=r"\.parquet is an input, and the output \S+answers/ would replace it"):
            find_items([tmp_path / name]).check_kept(f"{tmp_path}/answers/")


def test_no_images_are_an_error() -> None:
    with pytest.raises(UsageError, match="no images found"):
        find_items([]).count()
