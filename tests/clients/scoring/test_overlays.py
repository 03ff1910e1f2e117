"""Overlays as files: their names, their content, and what is never replaced."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camserve.atomic import replace_file
from camserve.clients import ActivationMap, Placement, ScoredRow
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.overlay_folder import make_overlay_folder
from camserve.clients.scoring.overlay_names import check_distinct, overlay_name
from camserve.clients.scoring.overlays import has_overlay, write_overlay
from camserve.errors import ClientError, UsageError

HEIGHT, WIDTH = 240, 300
ODD_IDS = [
    "1.jpg",
    "1.png",
    "1",
    "cats/1.jpg",
    "cats//1.jpg",
    "/cats/1.jpg",
    "./cats/1.jpg",
    "../cats/1.jpg",
    "../../etc/passwd",
    "cats/..",
    "cats/.",
    "cats/",
    "",
    "/",
    "..",
    "%2E%2E",
    "%2F/cats/1.jpg",
    "s3://bucket/cats/1.jpg",
    "https://host/1.jpg?size=2&x=%20",
    "a.png",
    "a.png/b",
    "a%2Epng/b",
    "a\\b.jpg",
    "two\nlines.jpg",
    "nul\0.jpg",
    os.fsdecode(b"caf\xe9.jpg"),
    "café.jpg",
    "日本/猫 1.jpg",
    "x" * 255,
    "x" * 251,
    "x" * 254 + "y",
    "é" * 200,
    "x" * 300 + "/1.jpg",
    "17",
]


def photo() -> bytes:
    pixels = np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def map_of(data: bytes) -> ActivationMap:
    with Image.open(io.BytesIO(data)) as image:
        resized = image.resize((64, 64))
    grid = np.eye(4, dtype=np.float32)
    return ActivationMap(1, "tabby", 0.75, grid, resized, Placement((HEIGHT, WIDTH), (0, 0, WIDTH, HEIGHT)))


def row_of(id_: str, data: bytes = b"", version: str = "1") -> ScoredRow:
    return ScoredRow(id_, model="pets", version=version, id=id_, sha256=hashlib.sha256(data).hexdigest())


def test_what_a_killed_run_left_among_the_overlays_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    kept = [tmp_path / "cats" / "1.jpg.png", tmp_path / "cats" / ".camserve-notes.tmp"]
    left = [folder / ".camserve-0123abcd-0123456789abcdef.tmp" for folder in (tmp_path, tmp_path / "cats")]
    for path in (*kept, *left):
        path.touch()
    with replace_file(tmp_path / "cats" / "2.jpg.png"):  # by another run, which goes on
        make_overlay_folder(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in (*kept, tmp_path / "cats" / "2.jpg.png"))


def test_every_id_has_a_file_of_its_own_within_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "overlays"
    for id_ in ODD_IDS:
        path = folder / overlay_name(id_)
        assert os.path.normpath(path) == str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()  # fails if another id has this file, or needs a folder of this name
    assert sum(each.is_file() for each in folder.rglob("*")) == len(ODD_IDS)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("id_", "expected"),
    [
        ("cats/1.jpg", "cats/1.jpg.png"),
        ("日本/猫 1.jpg", "日本/猫 1.jpg.png"),
        ("../1.jpg", "%2E%2E/1.jpg.png"),
        ("/srv/1.jpg", "%2F/srv/1.jpg.png"),
        ("s3://bucket/1.jpg", "s3:/%2F/bucket/1.jpg.png"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf%E9.jpg.png"),
        ("x" * 252, f"{'x' * 233}%~{hashlib.sha256(b'x' * 252).hexdigest()[:16]}.png"),
    ],
)
def test_overlays_keep_the_folders_of_their_images(id_: str, expected: str) -> None:
    assert overlay_name(id_) == expected


def test_an_overlay_is_the_map_drawn_over_its_image(tmp_path: Path) -> None:
    data = photo()
    cam = map_of(data)
    path = write_overlay(cam, data, row_of("cats/1.jpg", data), tmp_path)
    assert path == tmp_path / "cats" / "1.jpg.png"
    with Image.open(path) as drawn, Image.open(io.BytesIO(data)) as image:
        assert drawn.info["camserve.image"] == "1.jpg"
        expected = np.asarray(cam.overlay(image, size=(HEIGHT, WIDTH), caption=True))
        assert np.array_equal(np.asarray(drawn), expected)
    assert list(path.parent.iterdir()) == [path]


def test_an_overlay_exists_only_for_the_same_image_model_and_version(tmp_path: Path) -> None:
    data = photo()
    row = row_of("1.jpg", data)
    assert not has_overlay(row, tmp_path)
    write_overlay(map_of(data), data, row, tmp_path)
    assert has_overlay(row, tmp_path)
    assert not has_overlay(row_of("1.jpg", b"other"), tmp_path)
    newer = row_of("1.jpg", data, version="2")
    assert not has_overlay(newer, tmp_path)
    write_overlay(map_of(data), data, newer, tmp_path)  # a second run replaces it
    assert (has_overlay(newer, tmp_path), has_overlay(row, tmp_path)) == (True, False)


@pytest.mark.parametrize("kind", ["image", "link", "folder", "file in place of a folder", "linked folder"])
def test_nothing_but_an_overlay_is_replaced(tmp_path: Path, kind: str) -> None:
    data = photo()
    taken, other = tmp_path / "cats" / "1.jpg.png", tmp_path / "other.png"
    other.write_bytes(data)
    if kind == "file in place of a folder":
        taken = taken.parent
    elif kind == "linked folder":
        (tmp_path / "elsewhere").mkdir()
        taken.parent.symlink_to(tmp_path / "elsewhere")
    else:
        taken.parent.mkdir()
    if kind == "link":
        taken.symlink_to(other)
    elif kind == "folder":
        taken.mkdir()
    else:
        taken.write_bytes(data)
    with pytest.raises(ClientError, match=r"the overlay .*1\.jpg\.png cannot be written") as caught:
        write_overlay(map_of(data), data, row_of("cats/1.jpg", data), tmp_path)
    assert type(caught.value) is ClientError  # it concerns all images, unlike an ImageError
    assert taken.is_dir() if kind == "folder" else taken.read_bytes() == data
    assert other.read_bytes() == data


def test_a_full_disk_leaves_the_overlay_of_an_earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = photo()
    path = write_overlay(map_of(data), data, row_of("1.jpg", data), tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ClientError, match="No space left on device"):
        write_overlay(map_of(data), data, row_of("1.jpg", data, version="2"), tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_two_images_with_one_id_are_refused() -> None:
    items = [item_of_file("a/1.jpg", "1.jpg"), item_of_file("a/2.jpg", "2.jpg")]
    check_distinct([*items, *items])  # the same images again have the same overlays
    with pytest.raises(UsageError, match=r"two images have the id '1\.jpg', the second is b/1\.jpg"):
        check_distinct([*items, Item("b/1.jpg", "1.jpg", items[0].source)])


def test_a_folder_of_overlays_within_an_input_is_refused(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos)
    for inside in (photos, photos / "maps", tmp_path / "link" / "maps"):
        with pytest.raises(UsageError, match=r"is in .*photos, which is scored"):
            make_overlay_folder(inside, [tmp_path / "none.jpg", photos])
    make_overlay_folder(tmp_path / "photos-maps" / "new", [photos], f"{tmp_path}/photos-maps/answers/")
    for inside in (tmp_path / "answers", tmp_path / "answers" / "maps"):
        with pytest.raises(UsageError, match=r"is in the output \S+answers/, which is replaced as a whole"):
            make_overlay_folder(inside, [photos], f"{tmp_path}/answers/")
        assert not inside.exists()
    assert (tmp_path / "photos-maps" / "new").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be created: Not a directory"):
        make_overlay_folder(tmp_path / "file" / "maps")


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("photos/*", "photos/maps"),
        ("photos/*", "photos/cats/maps"),
        ("pho*", "photos/cats/maps"),
        ("link/*", "photos/maps"),
        ("photos/*", "link/maps"),
        ("{photos,other}/*", "other/maps"),
        ("photos/**/*.png", "photos/cats/maps"),
        ("photos/**/*.png", "photos"),
        ("photos/**", "photos/maps"),
        ("photos/*.png", "."),
    ],
)
def test_a_folder_of_overlays_that_a_pattern_finds_is_refused(
    pattern: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos/cats").mkdir(parents=True)
    Path("photos/cats/1.png").touch()
    Path("link").symlink_to("photos")
    with pytest.raises(UsageError) as caught:
        make_overlay_folder(folder, ["none.jpg", pattern])
    assert caught.value.message.startswith(f"the folder of overlays, {folder}, is in {pattern}, which is scored")
    assert not Path("photos/maps").exists()


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("photos/*", "maps"),
        ("photos/*.jpg", "photos/maps"),
        ("photos/*/1.jpg", "photos/maps"),
        ("photos/2024/*", "photos"),
        ("photos/**/*.jpg", "photos/cats/maps"),
        ("photos/[[]1]/*", "photos/1/maps"),
        ("photos/*.png", "photos/maps"),
        ("s3://photos/*", "photos/maps"),
    ],
)
def test_a_folder_of_overlays_that_no_pattern_finds_is_made(
    pattern: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_overlay_folder(folder, [pattern])
    assert Path(folder).is_dir()
