"""Images decoded from every kind of source."""

from __future__ import annotations

import io
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from support.image_files import draw, save, seeds

from camserve.errors import ImageError, UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import load_image, open_image

Array = np.ndarray[Any, Any]
SAVED_AS: dict[str, dict[str, Any]] = {
    "jpeg": {"file_format": "JPEG", "quality": 90},
    "progressive": {"file_format": "JPEG", "progressive": True},
    "png": {"file_format": "PNG"},
    "gif": {"file_format": "GIF"},
    "bmp": {"file_format": "BMP"},
    "tiff": {"file_format": "TIFF"},
    "tiff-lzw": {"file_format": "TIFF", "compression": "tiff_lzw"},
    "webp": {"file_format": "WEBP"},
    "webp-lossless": {"file_format": "WEBP", "lossless": True},
    "ppm": {"file_format": "PPM"},
}
EXACTLY: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
ORIENTATION = 0x0112
UPRIGHT = DecodeOptions(exif=True)
# The stored pixels of an upright image for each orientation (EXIF 2.3, tag 274).
STORED: dict[int, Callable[[Array], Array]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: np.swapaxes(upright, 0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(np.swapaxes(upright, 0, 1), 2),
    8: lambda upright: np.rot90(upright, 3),
}


def photo(size: tuple[int, int] = (96, 64)) -> Image.Image:
    return Image.fromarray(load_sample_image("flower.jpg")).resize(size)


def encoded(kind: str, image: Image.Image | None = None) -> bytes:
    return save(image or photo(), **SAVED_AS[kind])


def pixels(image: Image.Image) -> Array:
    return np.asarray(image.convert("RGB"))


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("kind", SAVED_AS)
def test_every_format_is_decoded_equally_from_every_source(tmp_path: Path, kind: str) -> None:
    data = encoded(kind)
    path = tmp_path / "image"
    path.write_bytes(data)
    expected = pixels(Image.open(io.BytesIO(data)))
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), Image.open(path)):
        assert np.array_equal(pixels(load_image(source)), expected)
    with path.open("rb") as stream:
        assert np.array_equal(pixels(load_image(stream)), expected)


@pytest.mark.parametrize("kind", SAVED_AS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_truncated_file_is_refused_or_complete(kind: str) -> None:
    data = encoded(kind)
    whole = pixels(load_image(data))
    refused = 0
    for hundredth in range(100):
        try:
            image = load_image(data[: len(data) * hundredth // 100])
        except ImageError:
            refused += 1
        else:
            assert np.array_equal(pixels(image), whole)
    assert refused >= 90


def test_a_corrupt_file_raises_without_the_traceback_of_pillow() -> None:
    with pytest.raises(ImageError, match="truncated") as caught:
        load_image(encoded("png")[:300])
    assert "PIL" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", ["jpeg", "progressive"])
def test_a_truncated_jpeg_is_refused(kind: str) -> None:
    data = encoded(kind)
    for hundredth in range(100):
        with pytest.raises(ImageError):
            load_image(data[: len(data) * hundredth // 100])


def test_other_types_are_refused() -> None:
    for source in (3, None, [1, 2], object()):
        with pytest.raises(ImageError, match=f"cannot be decoded from {type(source).__name__}"):
            load_image(source)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_only_if_requested(file_format: str, orientation: int) -> None:
    upright = np.asarray(draw("RGB"))
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = save(stored, file_format, exif=exif, **EXACTLY.get(file_format, {}))
    rotated = load_image(data, UPRIGHT)
    as_keras = load_image(data)
    assert rotated.size == (24, 16)
    assert np.abs(pixels(rotated).astype(int) - upright).max() <= (6 if file_format == "JPEG" else 0)
    assert np.array_equal(pixels(load_image(rotated, UPRIGHT)), pixels(rotated))  # not rotated twice
    unrotated = upright if file_format == "TIFF" else np.asarray(stored)  # Pillow, and thus Keras, always rotates TIFF
    assert np.abs(pixels(as_keras).astype(int) - unrotated).max() <= (6 if file_format == "JPEG" else 0)
    assert np.array_equal(pixels(load_image(Image.open(io.BytesIO(data)), UPRIGHT)), pixels(rotated))


def test_a_missing_or_invalid_orientation_is_ignored() -> None:
    exif = Image.Exif()
    for value in (0, 9, 300):
        exif[ORIENTATION] = value
        assert load_image(save(draw("RGB"), "JPEG", exif=exif), UPRIGHT).size == (24, 16)
    assert load_image(draw("RGB"), UPRIGHT).size == (24, 16)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_unreadable_exif_is_ignored() -> None:
    for block in (b"XX*\0nonsense", b"II", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12\x01"):
        for file_format in ("JPEG", "PNG", "WEBP"):
            data = save(draw("RGB"), file_format, exif=b"Exif\0\0" + block)
            assert load_image(data, UPRIGHT).size == load_image(data).size == (24, 16)


def test_the_first_of_several_frames_is_decoded() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    for name in ("GIF", "WEBP", "PNG", "TIFF", "MPO"):
        data = save(frames[0], name, save_all=True, append_images=frames[1:], **EXACTLY.get(name, {}))
        with Image.open(io.BytesIO(data)) as image:
            assert getattr(image, "n_frames", 1) == 2
            image.seek(1)
            assert np.abs(pixels(image).astype(int) - (0, 255, 0)).max() <= 2
        assert np.abs(pixels(load_image(data)).astype(int) - (255, 0, 0)).max() <= 2


def test_size_and_memory_are_known_before_decoding() -> None:
    for kind in SAVED_AS:
        data = encoded(kind)
        opened = open_image(data)
        assert opened.size == (64, 96)
        assert opened.decoded_bytes >= len(data) + 3 * 96 * 64
        assert opened.decoded_bytes <= len(data) + 16 * 96 * 64
        assert np.array_equal(pixels(opened.load()), pixels(load_image(data)))
    cut = encoded("jpeg")[:-500]
    assert open_image(cut).size == (64, 96)
    with pytest.raises(ImageError, match="corrupt or truncated"):
        open_image(cut).load()
    assert open_image(photo()).decoded_bytes >= 3 * 96 * 64
    assert open_image(np.zeros((64, 96), np.uint8)).size == (64, 96)


def test_limits_below_1_are_refused() -> None:
    for limits in ({"max_pixels": 0}, {"max_bytes": -1}):
        with pytest.raises(UsageError, match=next(iter(limits))):
            DecodeOptions(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
@pytest.mark.parametrize("kind", SAVED_AS)
def test_thin_images_are_decoded(size: tuple[int, int], kind: str) -> None:
    assert load_image(encoded(kind, Image.new("RGB", size))).size == size


def test_concurrent_decoding_gives_equal_results() -> None:
    files = seeds()
    alone = [np.asarray(load_image(data, UPRIGHT)) for data in files]
    start = threading.Barrier(8)

    def read() -> list[Array]:
        start.wait()
        return [np.asarray(load_image(data, UPRIGHT)) for data in files]

    with ThreadPoolExecutor(8) as pool:
        for found in [pool.submit(read) for _ in range(8)]:
            for image, expected in zip(found.result(), alone, strict=True):
                assert np.array_equal(image, expected)


def test_every_opened_file_is_closed(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encoded("png"))
    bad.write_bytes(encoded("png")[:100])
    before = descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in 50 * (good, bad, tmp_path, tmp_path / "none"):
            try:
                load_image(path)
            except ImageError:
                continue
    assert descriptors() == before
