"""Bytes of images from paths, streams and memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_files import draw, save

from camserve.errors import ImageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import load_image

DATA = save(draw("RGB"), "PNG")


class SlowStream(io.RawIOBase):
    """A stream that cannot seek, returns a few bytes per read, and counts them."""

    def __init__(self, data: bytes, *, endless: bool = False) -> None:
        self.data = data
        self.endless = endless
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        size = len(self.data) if size is None or size < 0 else min(size, 1000)
        block = bytes(size) if self.endless else self.data[self.count : self.count + min(size, 7)]
        self.count += len(block)
        return block


def test_a_stream_without_seek_is_read_to_its_end() -> None:
    stream = SlowStream(DATA)
    assert not stream.seekable()
    assert np.array_equal(np.asarray(load_image(stream)), np.asarray(draw("RGB")))  # type: ignore[arg-type]


def test_at_most_one_byte_more_than_the_limit_is_read() -> None:
    stream = SlowStream(b"", endless=True)
    with pytest.raises(ImageError, match="the stream has more than 10,000 bytes"):
        load_image(stream, DecodeOptions(max_bytes=10_000))  # type: ignore[arg-type]
    assert stream.count == 10_001


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(DATA)
    for source in (path, DATA, io.BytesIO(DATA)):
        assert load_image(source, DecodeOptions(max_bytes=len(DATA))).size == (24, 16)
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with pytest.raises(ImageError, match="has more than"):
            load_image(source, DecodeOptions(max_bytes=len(DATA) - 1))


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ImageError, match="has more than 268,435,456 bytes"):
        load_image(path)


def test_standard_input_is_accepted() -> None:
    read = f"import sys; from {load_image.__module__} import load_image; print(load_image(sys.stdin.buffer).size)"
    result = subprocess.run([sys.executable, "-c", read], input=DATA, capture_output=True, check=True)
    assert result.stdout == b"(24, 16)\n"
    empty = subprocess.run([sys.executable, "-c", read], input=b"", capture_output=True, check=False)
    assert empty.returncode == 1
    assert b"<stdin> is empty" in empty.stderr


def test_a_stream_at_its_end_is_refused_with_a_hint() -> None:
    stream = io.BytesIO()
    stream.write(DATA)
    with pytest.raises(ImageError, match=r"the stream is empty.*seek\(0\)"):
        load_image(stream)


def test_text_streams_and_closed_streams_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("hello")
    with path.open() as text, pytest.raises(ImageError, match="is open in text mode"):
        load_image(text)  # type: ignore[arg-type]
    path.write_bytes(DATA)
    with path.open() as text, pytest.raises(ImageError, match="is open in text mode"):
        load_image(text)  # type: ignore[arg-type]
    closed = io.BytesIO(DATA)
    closed.close()
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(closed)
    with (tmp_path / "out").open("wb") as out, pytest.raises(ImageError, match="cannot be read"):
        load_image(out)


def test_path_like_objects_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(DATA)

    class Entry(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(path)

    assert load_image(Entry()).size == (24, 16)
    (entry,) = os.scandir(tmp_path)
    assert load_image(entry).size == (24, 16)


def test_paths_that_are_not_regular_files_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases: list[tuple[str | Path, str]] = [
        (tmp_path / "none.png", "does not exist"),
        (tmp_path / "a" / "b.png", "does not exist"),
        ("", "the empty path does not exist"),
        ("https://example.org/cat.png", "~ is not expanded, and only score reads URLs"),
        ("iVBORw0KGgo" * 1000, r"… \(11,000 characters\) cannot be opened"),
        (tmp_path, "folder"),
        (pipe, "pipe"),
        ("/dev/zero", "device"),
        (tmp_path / ("long" * 100), "cannot be opened"),
        ("a\0b.png", "cannot be opened"),
    ]
    for path, message in cases:
        with pytest.raises(ImageError, match=message) as caught:
            load_image(path)
        assert caught.value.hint


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(DATA)
    path.chmod(0)
    read = f"""
import os, sys
from {load_image.__module__} import load_image
from {ImageError.__module__} import ImageError
if os.geteuid() == 0:  # root can read every file
    os.setresuid(65534, 65534, 65534)
try:
    load_image(sys.argv[1])
except ImageError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", read, path], capture_output=True, check=True, text=True)
    assert "secret.png cannot be opened: Permission denied" in result.stdout


@pytest.mark.parametrize(
    "name", [b"caf\xe9.png", "日本.png".encode(), b"two\nlines.png", b"a,'\".png", b"\x1b[31m.png"]
)
def test_file_names_are_escaped_in_messages(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(DATA)
    assert load_image(path).size == (24, 16)
    with path.open("rb") as stream:
        assert load_image(stream).size == (24, 16)
    path.write_bytes(b"nothing")
    sources: list[Any] = [path, path.open("rb")]
    for source in sources:
        with pytest.raises(ImageError) as caught:
            load_image(source)
        assert "\n" not in str(caught.value)
        assert "\x1b" not in str(caught.value)
        str(caught.value).encode("utf-8")
    sources[1].close()
