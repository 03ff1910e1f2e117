"""Files of class activation maps: where they are written, what they contain, and many processes at once."""

from __future__ import annotations

import io
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.access import mode
from support.chaos import times

from camserve.cli.image_sources import Source
from camserve.cli.map_files import save_map
from camserve.clients import ActivationMap, Placement

PROCESSES, MAPS = 8, times(30)


def make_map() -> ActivationMap:
    """A map of one class over an image of 8 by 8 pixels."""
    grid = np.eye(2, dtype=np.float32)
    return ActivationMap(1, "tabby", 0.75, grid, Image.new("RGB", (8, 8)), Placement((8, 8), (0, 0, 8, 8)))


def make_image(path: Path, color: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (color % 256, color // 256, 0)).save(path)
    return path


def save(image: Path, folder: Path) -> Path:
    return save_map(make_map(), Source(image, image), folder)


def test_a_map_contains_the_name_of_its_image_and_no_path(tmp_path: Path) -> None:
    path = save(make_image(tmp_path / "secret" / "cat.png"), tmp_path / "maps")
    with Image.open(path) as drawn:
        assert drawn.info["camserve.image"] == "cat.png"
        assert len(drawn.info["camserve.source"]) == 64
    data = path.read_bytes()
    assert b"secret" not in data
    assert bytes(tmp_path) not in data


def test_a_map_replaces_only_that_of_the_same_image(tmp_path: Path) -> None:
    first, namesake = make_image(tmp_path / "a" / "cat.png"), make_image(tmp_path / "b" / "cat.png")
    maps = tmp_path / "maps"
    assert [save(image, maps).name for image in (first, namesake)] == ["cat-tabby.png", "cat-tabby-2.png"]
    (maps / "cat-tabby-2.png").chmod(0o600)
    assert [save(image, maps).name for image in (namesake, first)] == ["cat-tabby-2.png", "cat-tabby.png"]
    assert mode(maps / "cat-tabby-2.png") == 0o600
    make_image(first, color=9)  # another image by now
    assert save(first, maps).name == "cat-tabby-3.png"


def test_images_of_standard_input_do_not_replace_each_other(tmp_path: Path) -> None:
    streams = [io.BytesIO(), io.BytesIO()]
    for color, stream in enumerate(streams):
        Image.new("RGB", (8, 8), (color, 0, 0)).save(stream, "PNG")
    sources = [Source(Path("-"), stream.getvalue()) for stream in (*streams, streams[0])]
    names = [save_map(make_map(), source, tmp_path / "maps").name for source in sources]
    assert names == ["stdin-tabby.png", "stdin-tabby-2.png", "stdin-tabby.png"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["dangling link", "link", "pipe", "folder", "device", "other file", "damaged map"])
def test_nothing_but_a_map_of_the_image_is_written_to(tmp_path: Path, kind: str) -> None:
    image, maps = make_image(tmp_path / "cat.png"), tmp_path / "maps"
    taken, other = maps / "cat-tabby.png", tmp_path / "other.png"
    if kind == "link":  # to a map of the same image
        save(image, maps).rename(other)
    maps.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(taken)
    elif kind == "folder":
        taken.mkdir()
    elif kind.endswith("link"):
        taken.symlink_to(other)
    elif kind == "device":
        taken.symlink_to("/dev/null")
    else:
        taken.write_bytes(b"\x89PNG\r\n\x1a\n" if kind == "damaged map" else b"text")
    before, content = taken.lstat(), other.read_bytes() if other.exists() else None
    assert save(image, maps).name == "cat-tabby-2.png"
    after = taken.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert (other.read_bytes() if other.exists() else None) == content
    assert sorted(path.name for path in maps.iterdir()) == ["cat-tabby-2.png", "cat-tabby.png"]


def save_several(root: Path, process: int) -> None:
    for number in range(process * MAPS, (process + 1) * MAPS):
        save(root / str(number) / "cat.png", root / "maps")


@pytest.mark.chaos
def test_no_map_is_lost_when_eight_processes_write_at_once(tmp_path: Path) -> None:
    for number in range(PROCESSES * MAPS):
        make_image(tmp_path / str(number) / "cat.png", number)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=save_several, args=(tmp_path, number)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    written = list((tmp_path / "maps").iterdir())
    assert len(written) == PROCESSES * MAPS
    sources = set()
    for path in written:
        with Image.open(path) as drawn:
            drawn.load()
            sources.add(drawn.info["camserve.source"])
    assert len(sources) == PROCESSES * MAPS
