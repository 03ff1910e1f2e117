"""Files and folders that are replaced in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from camserve.atomic import replace_file, replace_folder


def fail_after_writing(path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


def test_file_is_replaced_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with replace_file(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_leaves_the_file_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replace_file(target) as temporary:
        fail_after_writing(temporary)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_is_replaced_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with replace_folder(target) as folder:
        (folder / "new").touch()
        assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_leaves_the_folder_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(KeyboardInterrupt), replace_folder(target) as folder:
        fail_after_writing(folder / "new")
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_removes_the_parents_it_created(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replace_folder(tmp_path / "a" / "b" / "bundle"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_folder_with_missing_parents_is_created(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "a" / "b" / "bundle") as folder:
        (folder / "new").touch()
    assert (tmp_path / "a" / "b" / "bundle" / "new").exists()
