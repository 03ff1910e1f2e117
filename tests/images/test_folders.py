"""Which files of a folder are images, and how the others are counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from camserve.errors import UsageError
from camserve.images.folders import expand, images_in
from camserve.images.left_out import LeftOut


def add(path: Path, content: bytes | None = None) -> Path:
    """Write a JPEG, or other content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        Image.new("RGB", (8, 6), "red").save(path, "JPEG")
    else:
        path.write_bytes(content)
    return path


class Recorder(LeftOut):
    """Keeps every path, and not only the first ones."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: dict[str, list[str]] = {}

    def add(self, kind: str, path: str) -> None:
        super().add(kind, path)
        self.paths.setdefault(kind, []).append(path)


def search(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the images and what was left out, relative to the folder."""
    left_out = Recorder()
    found = [path.relative_to(folder).as_posix() for path in images_in(folder, left_out)]
    return found, {
        kind: [Path(os.path.relpath(path, folder)).as_posix() for path in paths]
        for kind, paths in left_out.paths.items()
    }


def test_images_are_found_by_content_and_by_name(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JFIF", "c.jpe", "d", "e.tmp", "f.9"):
        add(tmp_path / name)
    add(tmp_path / "g.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    add(tmp_path / "h", b"\0\0\0\x0cJXL \r\n\x87\n")
    add(tmp_path / "i.png", b"")  # a failed download: its row has the error
    for name in ("notes.txt", "empty", "clip.mp4"):
        add(tmp_path / name, b"" if name == "empty" else b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")
    found, left_out = search(tmp_path)
    assert found == ["a.jpg", "b.JFIF", "c.jpe", "d", "e.tmp", "f.9", "g.HEIC", "h", "i.png"]
    assert left_out == {"not_images": ["clip.mp4", "empty", "notes.txt"]}


def test_raw_photos_are_left_out_as_decoders_read_their_thumbnail(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.nef"):
        add(tmp_path / name)
    Image.new("RGB", (8, 6)).save(tmp_path / "a.DNG", "TIFF")
    found, left_out = search(tmp_path)
    assert found == ["a.jpg"]
    assert left_out == {"raw_photos": ["a.DNG", "b.nef"]}


def test_what_file_managers_and_notebooks_leave_behind_is_left_out(tmp_path: Path) -> None:
    for name in ("a.jpg", ".hidden.jpg", "._a.jpg", "Thumbs.db", "desktop.ini"):
        add(tmp_path / name)
    for name in ("__MACOSX", ".ipynb_checkpoints", "@eaDir"):
        add(tmp_path / name / "a.jpg")
    found, left_out = search(tmp_path)
    assert found == ["a.jpg"]
    assert left_out == {
        "hidden_files": ["._a.jpg", ".hidden.jpg", "Thumbs.db", "desktop.ini"],
        "hidden_folders": [".ipynb_checkpoints", "@eaDir", "__MACOSX"],
    }


def test_a_hidden_folder_that_is_given_is_searched(tmp_path: Path) -> None:
    add(tmp_path / ".cache" / "a.jpg")
    assert search(tmp_path / ".cache") == (["a.jpg"], {})


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    add(root / "real" / "a.jpg")
    add(outside / "b.jpg")
    add(outside / "deep" / "c.jpg")
    (outside / "loop").symlink_to(outside)
    (outside / "home").symlink_to(root / "real")
    (root / "aaa").symlink_to(root / "real")  # its folder comes later, and is searched itself
    (root / "first").symlink_to(outside)
    (root / "second").symlink_to(outside)
    (root / "third").symlink_to(outside / "deep")
    (root / "up").symlink_to(tmp_path)  # contains the root
    (root / "self").symlink_to(root / "self")  # a link to itself
    found, left_out = search(root)
    assert found == ["first/b.jpg", "first/deep/c.jpg", "real/a.jpg", "self"]
    assert left_out == {"repeated_folders": ["aaa", "first/home", "first/loop", "second", "third", "up"]}


def test_a_link_into_a_hidden_folder_is_followed(tmp_path: Path) -> None:
    add(tmp_path / "..data" / "a.jpg")
    (tmp_path / "train").symlink_to(tmp_path / "..data")
    assert search(tmp_path) == (["train/a.jpg"], {"hidden_folders": ["..data"]})


def test_a_folder_inside_a_later_link_is_searched_once(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    add(outside / "deep" / "a.jpg")
    add(outside / "b.jpg")
    root.mkdir()
    (root / "1").symlink_to(outside / "deep")
    (root / "2").symlink_to(outside)
    assert search(root) == (["1/a.jpg", "2/b.jpg"], {"repeated_folders": ["2/deep"]})


def test_folders_without_images_are_named_at_the_top(tmp_path: Path) -> None:
    add(tmp_path / "a" / "1.jpg")
    add(tmp_path / "b" / "c" / "d" / "notes.txt", b"text")
    (tmp_path / "a" / "e").mkdir()
    found, left_out = search(tmp_path)
    assert found == ["a/1.jpg"]
    assert left_out == {
        "empty_folders": ["a/e"],
        "folders_without_images": ["b"],
        "not_images": ["b/c/d/notes.txt"],
    }
    assert search(tmp_path / "a" / "e") == ([], {"empty_folders": ["."]})


@pytest.mark.timeout(20)
def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert search(tmp_path) == (["broken"], {"not_images": ["pipe"]})


def test_counts_are_complete_and_names_the_first_three(tmp_path: Path) -> None:
    left_out = LeftOut()
    assert not left_out
    for number in range(1200):
        left_out.add("not_images", f"{number}.txt")
    left_out.add("empty_folders", "new\n")
    assert str(left_out) == (
        "1,200 files that are not images ('0.txt', '1.txt', '2.txt' and 1,197 more), 1 empty folder ('new\\n')"
    )
    assert left_out.document() == {
        "not_images": {"count": 1200, "first": ["0.txt", "1.txt", "2.txt"]},
        "empty_folders": {"count": 1, "first": ["new\n"]},
    }


def test_patterns_are_expanded_like_by_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.jpg", "a.jpg", "x/c.jpg", ".d.jpg", "e[1].jpg"):
        add(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert expand("*.jpg") == [Path("a.jpg"), Path("b.jpg"), Path("e[1].jpg")]
    assert expand("**/*.jpg") == [Path("a.jpg"), Path("b.jpg"), Path("e[1].jpg"), Path("x/c.jpg")]
    assert expand(tmp_path / "x" / "?.jpg") == [tmp_path / "x" / "c.jpg"]
    assert expand("./**.jpg") == expand("*.jpg")
    assert expand(".*.jpg") == [Path(".d.jpg")]
    assert expand("e[1].jpg") == [Path("e[1].jpg")]
    assert expand("missing.jpg") == [Path("missing.jpg")]
    with pytest.raises(UsageError, match=r"no file matches \*\.gif"):
        expand("*.gif")


def test_patterns_follow_no_loop_and_list_nothing_twice(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    add(photos / "a.jpg")
    add(photos / "album.jpg" / "b.jpg")
    for name in ("loop", "again"):
        (photos / name).symlink_to(photos)
    assert expand(photos / "**" / "*.jpg") == [photos / "a.jpg", photos / "album.jpg"]
    assert expand(photos / "**") == [photos]
