"""Calibration images: which are read, how, and which are held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support.contracts import contract_of_input

from camserve.contract import PRESETS, Preprocessing
from camserve.errors import UsageError
from camserve.export.gate.calibration import read_calibration
from camserve.export.gate.calibration_files import MIN_IMAGES

UNIT = PRESETS["unit"]


def image(seed: int, size: tuple[int, int] = (20, 30), mode: str = "RGB") -> Image.Image:
    shape = size if mode == "L" else (*size, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def fill(folder: Path, count: int, **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        image(seed, **options).save(folder / f"{seed:03}.png")
    return folder


@pytest.mark.parametrize("resize", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize("fit", ["stretch", "center-crop"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_images_equal_those_of_keras_load_img(tmp_path: Path, resize: Any, fit: Any, color: str) -> None:
    preset = UNIT.in_gray() if color == "gray" else UNIT
    preprocessing = Preprocessing.model_validate({**preset.model_dump(), "resize": resize, "fit": fit})
    found = read_calibration(fill(tmp_path, MIN_IMAGES), contract_of_input(preprocessing, (12, 8)))
    loaded = keras.utils.load_img(
        tmp_path / "002.png",
        color_mode="grayscale" if color == "gray" else "rgb",
        target_size=(12, 8),
        interpolation=resize,
        keep_aspect_ratio=fit == "center-crop",
    )
    assert found.fit.dtype == np.uint8
    np.testing.assert_array_equal(found.fit[2], keras.utils.img_to_array(loaded))


def test_pixels_are_rgb_for_bgr_networks_too(tmp_path: Path) -> None:
    fill(tmp_path, MIN_IMAGES, size=(6, 6))
    for preset in ("caffe", "raw-bgr", "raw-rgb"):
        pixels = read_calibration(tmp_path, contract_of_input(PRESETS[preset], (6, 6))).fit[0]
        np.testing.assert_array_equal(pixels, np.asarray(image(0, (6, 6))))


@pytest.mark.parametrize("size", [(20, 30), (21, 31), (7, 9)])
def test_crop_only_returns_the_unresized_center(tmp_path: Path, size: tuple[int, int]) -> None:
    preprocessing = UNIT.model_copy(update={"fit": "crop-only"})
    pixels = read_calibration(fill(tmp_path, MIN_IMAGES, size=size), contract_of_input(preprocessing, (6, 8))).fit[1]
    top, left = size[0] // 2 - 3, size[1] // 2 - 4
    np.testing.assert_array_equal(pixels, np.asarray(image(1, size))[top : top + 6, left : left + 8])


def test_crop_only_refuses_too_small_images(tmp_path: Path) -> None:
    fill(tmp_path, MIN_IMAGES)
    image(MIN_IMAGES, (5, 30)).save(tmp_path / "short.png")
    with pytest.raises(UsageError, match=r"short\.png: the image of 30 x 5 pixels is smaller than .* crop of 8 x 6"):
        read_calibration(tmp_path, contract_of_input(UNIT.model_copy(update={"fit": "crop-only"}), (6, 8)))


def test_every_fourth_image_is_held_out(tmp_path: Path) -> None:
    found = read_calibration(fill(tmp_path, 19), contract_of_input(UNIT, (20, 30)))
    assert found.names == tuple(f"{number:03}.png" for number in range(19))
    assert (len(found.fit), len(found.held_out)) == (15, 4)
    assert found.held_out_names == ("003.png", "007.png", "011.png", "015.png")
    for place, number in enumerate((3, 7, 11, 15)):
        np.testing.assert_array_equal(found.held_out[place], np.asarray(image(number)))
        assert not (found.fit == found.held_out[place]).all(axis=(1, 2, 3)).any()


def test_subfolders_are_searched_and_other_files_ignored(tmp_path: Path) -> None:
    fill(tmp_path / "b" / "deep", 6)
    fill(tmp_path / "a", 6)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    image(9).save(tmp_path / "LOUD.JPG")
    found = read_calibration(tmp_path, contract_of_input(UNIT, (20, 30)))
    assert found.names == (
        "LOUD.JPG",
        *(f"a/{number:03}.png" for number in range(6)),
        *(f"b/deep/{number:03}.png" for number in range(6)),
    )


def test_images_above_the_limit_are_sampled_evenly(tmp_path: Path) -> None:
    names = read_calibration(fill(tmp_path, 78), contract_of_input(UNIT, (4, 4)), limit=12).names
    assert names == tuple(f"{number:03}.png" for number in range(0, 78, 7))
    assert read_calibration(tmp_path, contract_of_input(UNIT, (4, 4)), limit=12).names == names


def test_gray_and_rgb_are_converted(tmp_path: Path) -> None:
    fill(tmp_path, MIN_IMAGES, mode="L")
    assert read_calibration(tmp_path, contract_of_input(UNIT, (5, 6))).fit.shape == (9, 5, 6, 3)
    assert read_calibration(tmp_path, contract_of_input(UNIT.in_gray(), (5, 6))).fit.shape == (9, 5, 6, 1)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        read_calibration(tmp_path / "nowhere", contract_of_input(UNIT, (4, 4)))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is not a folder"):
        read_calibration(tmp_path / "file", contract_of_input(UNIT, (4, 4)))


def test_what_clients_leave_out_is_left_out_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, MIN_IMAGES)
    image(50).save(tmp_path / "named by content", "JPEG")
    fill(tmp_path / ".ipynb_checkpoints", 3)
    (tmp_path / "._000.png").write_bytes(b"\0\5\x16\7")
    names = read_calibration(tmp_path, contract_of_input(UNIT, (20, 30))).names
    assert names == (*(f"{number:03}.png" for number in range(MIN_IMAGES)), "named by content")
    (message,) = caplog.messages
    assert message.startswith("left out of the calibration: 1 hidden file ('")
    assert "1 hidden folder ('" in message


def test_too_few_images_are_refused_with_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    refusal = f"requires at least {MIN_IMAGES} images; .* has 0 images; left out: 1 file that is not an image"
    with pytest.raises(UsageError, match=refusal):
        read_calibration(tmp_path, contract_of_input(UNIT, (4, 4)))
    with pytest.raises(UsageError, match=f"has {MIN_IMAGES - 1} images"):
        read_calibration(fill(tmp_path, MIN_IMAGES - 1), contract_of_input(UNIT, (4, 4)))
    with pytest.raises(UsageError, match="limit must be at least 12, got 3"):
        read_calibration(fill(tmp_path, MIN_IMAGES), contract_of_input(UNIT, (4, 4)), limit=3)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_unreadable_image_is_named(tmp_path: Path, damage: str) -> None:
    fill(tmp_path, MIN_IMAGES)
    broken = tmp_path / "bro\nken.png"
    whole = (tmp_path / "000.png").read_bytes()
    broken.write_bytes({"cut": whole[: len(whole) // 2], "text": b"not an image", "empty": b""}[damage])
    with pytest.raises(UsageError, match=r"bro\\nken\.png is (corrupt or truncated|not an image|empty)") as refusal:
        read_calibration(tmp_path, contract_of_input(UNIT, (20, 30)))
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("preprocessing", [UNIT, UNIT.in_gray()], ids=["rgb", "gray"])
@pytest.mark.parametrize(("dtype", "ending"), [(np.uint16, "png"), (np.uint16, "tiff"), (np.int32, "pgm")])
def test_sixteen_bit_gray_is_scaled_as_in_clients(
    tmp_path: Path, dtype: Any, ending: str, preprocessing: Preprocessing
) -> None:
    fill(tmp_path, MIN_IMAGES - 1)
    Image.fromarray(np.full((20, 30), 40_092, dtype)).save(tmp_path / f"z.{ending}")
    assert (read_calibration(tmp_path, contract_of_input(preprocessing, (20, 30))).held_out[-1] == 156).all()


def test_floating_point_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, MIN_IMAGES)
    Image.fromarray(np.full((20, 30), 0.5, np.float32)).save(tmp_path / "deep.tiff")
    with pytest.raises(UsageError, match=r"deep\.tiff: the image has floating-point pixels"):
        read_calibration(tmp_path, contract_of_input(UNIT, (20, 30)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_8_bit_mode_is_read(tmp_path: Path, mode: str) -> None:
    fill(tmp_path, MIN_IMAGES)
    image(99).convert(mode).save(tmp_path / "z.png")
    for preprocessing in (UNIT, UNIT.in_gray()):
        assert "z.png" in read_calibration(tmp_path, contract_of_input(preprocessing, (20, 30))).names
