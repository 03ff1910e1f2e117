from __future__ import annotations

import io
import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from camserve.clients.scoring.inputs import find_items
from camserve.errors import UsageError
from camserve.images.left_out import LeftOut


def listed(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return [item.path for item in find_items([], files_from=path)]


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\n\r\n\nb.jpg", ["a.jpg", "b.jpg"]),
        (b"\xef\xbb\xbfa.jpg\n", ["a.jpg"]),
        (b"a.jpg\0b\n1.jpg\0", ["a.jpg", "b\n1.jpg"]),
        (b"a.jpg\0\xff\xfe.jpg\0", ["a.jpg", os.fsdecode(b"\xff\xfe.jpg")]),
        (b"caf\xc3\xa9.jpg\ncaf\xe9.jpg\n", ["café.jpg", os.fsdecode(b"caf\xe9.jpg")]),
        (b"same.jpg\nsame.jpg\n", ["same.jpg", "same.jpg"]),
        (b"*.jpg\n-\n#x.jpg\n", ["*.jpg", "-", "#x.jpg"]),
    ],
)
def test_a_list_names_one_path_a_line_or_between_nuls(tmp_path: Path, content: bytes, paths: list[str]) -> None:
    assert listed(tmp_path / "list", content) == paths


def test_listed_images_follow_the_inputs_and_are_named_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b.jpg").write_bytes(b"B")
    (tmp_path / "list").write_text(f"{tmp_path}/photos/b.jpg\nmissing.jpg\n")
    items = list(find_items([tmp_path / "photos"], files_from=tmp_path / "list"))
    assert [item.id for item in items] == ["b.jpg", f"{tmp_path}/photos/b.jpg", "missing.jpg"]
    assert [item.source.read(9) for item in items[:2]] == [b"B", b"B"]


def test_standard_input_is_read_once_for_any_number_of_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"a.jpg\nb.jpg\n")
    items = find_items([], files_from="-")
    assert items.count() == 2
    assert [item.path for item in items] == ["a.jpg", "b.jpg"]
    assert [item.path for item in find_items([], files_from="-")] == ["a.jpg", "b.jpg"]
    pipe(monkeypatch, b"c.jpg\n")
    assert [item.path for item in find_items([], files_from="-")] == ["c.jpg"]


def test_a_list_from_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"a.jpg\0b.jpg\0")
    os.close(write)
    items = find_items([], files_from=f"/dev/fd/{read}")
    assert items.count() == len(list(items)) == 2
    os.close(read)


def test_a_terminal_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = os.openpty()
    monkeypatch.setattr(sys, "stdin", os.fdopen(terminal))
    with pytest.raises(UsageError, match="standard input is a terminal") as error:
        find_items([], files_from="-").count()
    assert "find photos -type f -print0 | camserve score --files-from -" in str(error.value.hint)
    os.close(controller)


def test_files_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is in UTF-16, not UTF-8"):
        listed(tmp_path / "list", "a.jpg\nb.jpg\n".encode("utf-16"))
    with pytest.raises(UsageError, match="is not a list of paths: a line has more than"):
        listed(tmp_path / "list", b"x" * 3_000_000)
    with pytest.raises(UsageError, match=r"cannot read the list .*nowhere: No such file"):
        list(find_items([], files_from=tmp_path / "nowhere"))


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "list").touch()
    (tmp_path / "a.jpg").touch()
    left_out = LeftOut()
    assert find_items([tmp_path / "a.jpg"], files_from=tmp_path / "list", left_out=left_out).count() == 1
    assert str(left_out) == f"1 list without paths ('{tmp_path}/list')"
    with pytest.raises(UsageError, match="no images found; left out: 1 list without paths"):
        find_items([], files_from=tmp_path / "list").count()


def test_a_long_list_is_read_in_flat_memory(tmp_path: Path) -> None:
    with (tmp_path / "list").open("w") as stream:
        stream.writelines(f"photos/{number:09d}.jpg\n" for number in range(50_000))
    tracemalloc.start()
    try:
        assert find_items([], files_from=tmp_path / "list").count() == 50_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
