"""Preprocessing compared with Keras, bit for bit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from support.contracts import contract_of_input

from camserve.contract import PRESETS, Preprocessing
from camserve.errors import ImageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import load_image
from camserve.images.pixel_arrays import Pixels
from camserve.images.preprocess import fit_image, prepare

FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
MODES = ("RGB", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "1")
ENDINGS = {"CMYK": "tiff", "YCbCr": "tiff", "PA": "tiff"}
SIZES = ((224, 224), (33, 70))
PHOTOS = ("china.jpg", "flower.jpg")

Array = np.ndarray[Any, Any]


def keras_pixels(path: Path, size: tuple[int, int], resize: str, color_mode: str, keep_aspect_ratio: bool) -> Array:
    from keras.utils import img_to_array, load_img

    image = load_img(
        path, color_mode=color_mode, target_size=size, interpolation=resize, keep_aspect_ratio=keep_aspect_ratio
    )
    pixels: Array = img_to_array(image)
    return pixels


def keras_arithmetic(pixels: Array, preset: str) -> Array:
    from keras.applications.imagenet_utils import preprocess_input

    if preset in ("caffe", "tf", "torch"):
        done: Array = preprocess_input(pixels.copy(), mode=preset)
        return done
    if preset == "unit":
        return pixels / 255
    return pixels[..., ::-1] if preset == "raw-bgr" else pixels


def saved(folder: Path, photo: str, mode: str) -> Path:
    image = Image.fromarray(load_sample_image(photo))
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    if mode != "RGB":
        image = image.resize((201, 135), Image.Resampling.NEAREST)
    path = folder / f"image.{ENDINGS.get(mode, 'png')}"
    image.save(path)
    return path


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fit", ["stretch", "center-crop"])
def test_preprocessing_equals_keras_bit_for_bit(tmp_path: Path, photo: str, mode: str, fit: str) -> None:
    path = saved(tmp_path, photo, mode)
    for resize in FILTERS:
        for size in SIZES:
            pixels = keras_pixels(path, size, resize, "rgb", fit == "center-crop")
            for name, preset in PRESETS.items():
                target = contract_of_input(preset.model_copy(update={"resize": resize, "fit": fit}), size)
                found = prepare(load_image(path), target)
                expected = keras_arithmetic(pixels, name)
                assert found.dtype == expected.dtype == np.float32
                assert found.shape == expected.shape
                assert np.abs(found - expected).max() == 0.0, (name, resize, size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resize", FILTERS)
def test_gray_preprocessing_equals_keras(tmp_path: Path, mode: str, resize: str) -> None:
    path = saved(tmp_path, "china.jpg", mode)
    target = contract_of_input(PRESETS["unit"].in_gray().model_copy(update={"resize": resize}), (28, 28))
    expected = keras_pixels(path, (28, 28), resize, "grayscale", False) / 255
    found = prepare(load_image(path), target)
    assert found.shape == (28, 28, 1)
    assert np.abs(found - expected).max() == 0.0


def test_sixteen_bits_are_scaled_unlike_in_keras(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)
    assert keras_pixels(path, (8, 8), "nearest", "rgb", False).max() == 255
    assert keras_pixels(path, (8, 8), "nearest", "grayscale", False).max() == 40_000
    for color in (PRESETS["raw-rgb"], PRESETS["raw-rgb"].in_gray()):
        assert set(prepare(load_image(path), contract_of_input(color, (8, 8))).ravel()) == {156.0}


def test_photos_from_files_equal_keras(tmp_path: Path) -> None:
    from sklearn import datasets

    for photo in PHOTOS:
        path = Path(datasets.__file__).parent / "images" / photo
        pixels = keras_pixels(path, (224, 224), "nearest", "rgb", False)
        found = prepare(load_image(path), contract_of_input(PRESETS["caffe"], (224, 224)))
        assert np.array_equal(found, keras_arithmetic(pixels, "caffe"))


@pytest.mark.parametrize("preset", ["tf", "torch", "caffe"])
def test_a_difference_of_one_pixel_is_detected(tmp_path: Path, preset: str) -> None:
    path = saved(tmp_path, "china.jpg", "RGB")
    pixels = keras_pixels(path, (224, 224), "nearest", "rgb", False)
    pixels[100, 100, 1] += 1
    found = prepare(load_image(path), contract_of_input(PRESETS[preset], (224, 224)))
    assert np.abs(found - keras_arithmetic(pixels, preset)).max() > 0.0


def test_an_image_of_the_input_size_is_not_resampled() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for resize in FILTERS:
        for fit in ("stretch", "center-crop", "crop-only"):
            target = contract_of_input(Preprocessing.model_validate({"resize": resize, "fit": fit}), (40, 30))
            assert np.array_equal(prepare(load_image(Pixels(pixels, "rgb")), target), pixels.astype(np.float32))


@pytest.mark.parametrize("height", [5, 6, 9, 10])
@pytest.mark.parametrize("width", [4, 7, 8])
@pytest.mark.parametrize("size", [(4, 4), (5, 4), (5, 3)])
def test_crop_only_returns_the_unchanged_center(height: int, width: int, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    top, left = height // 2 - size[0] // 2, width // 2 - size[1] // 2
    expected = pixels[top : top + size[0], left : left + size[1]]
    assert expected.shape[:2] == size
    found = prepare(load_image(Pixels(pixels, "rgb")), contract_of_input(Preprocessing(fit="crop-only"), size))
    assert np.array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("shape", [(223, 500, 3), (500, 223, 3)])
def test_crop_only_refuses_a_smaller_image(shape: tuple[int, int, int]) -> None:
    small = load_image(Pixels(np.zeros(shape, np.uint8), "rgb"))
    with pytest.raises(ImageError, match=r"smaller than the model's crop of 224 x 224"):
        prepare(small, contract_of_input(Preprocessing(fit="crop-only"), (224, 224)))


def test_center_crop_refuses_an_image_without_such_a_crop() -> None:
    with pytest.raises(ImageError, match="image of 1000 x 1 pixels has no center crop"):
        prepare(
            load_image(np.zeros((1, 1000), np.uint8)), contract_of_input(Preprocessing(fit="center-crop"), (2000, 2))
        )


def test_pixels_are_unchanged_if_the_graph_has_the_arithmetic(tmp_path: Path) -> None:
    path = saved(tmp_path, "flower.jpg", "RGB")
    in_graph = PRESETS["caffe"].model_copy(update={"in_graph": True})
    pixels = keras_pixels(path, (64, 64), "nearest", "rgb", False)
    as_bytes = prepare(load_image(path), contract_of_input(in_graph, (64, 64), "UINT8"))
    assert as_bytes.dtype == np.uint8
    assert np.array_equal(as_bytes, pixels)
    unchanged = PRESETS["raw-rgb"].model_copy(update={"in_graph": True})
    as_floats = prepare(load_image(path), contract_of_input(unchanged, (64, 64)))
    assert as_floats.dtype == np.float32
    assert np.array_equal(as_floats, pixels)


def test_the_tensor_contains_the_fitted_image() -> None:
    image = Image.fromarray(load_sample_image("china.jpg"))
    target = contract_of_input(Preprocessing(resize="bilinear"), (56, 48))
    fitted = fit_image(image, target)
    assert fitted.image.size == (48, 56)
    assert np.array_equal(np.asarray(fitted.image, np.float32), prepare(image, target))


@pytest.mark.parametrize("fit", ["stretch", "center-crop", "crop-only"])
@pytest.mark.parametrize("size", [(28, 28), (40, 20), (60, 100)])
def test_the_placement_is_the_part_that_was_resized(fit: str, size: tuple[int, int]) -> None:
    image = Image.fromarray(load_sample_image("china.jpg")).resize((100, 60))
    target = contract_of_input(Preprocessing.model_validate({"resize": "bicubic", "fit": fit}), size)
    fitted = fit_image(image, target)
    assert fitted.placement.original == (60, 100)
    part = image.crop(fitted.placement.box).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    if fit == "center-crop":  # Pillow's filters also use the pixels around a box
        inner = (slice(4, -4), slice(4, -4))
        assert np.array_equal(np.asarray(part)[inner], np.asarray(fitted.image)[inner])
    else:
        assert np.array_equal(np.asarray(part), np.asarray(fitted.image))


def test_the_placement_refers_to_the_rotated_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (100, 60)).save(stream, "JPEG", exif=exif)
    target = contract_of_input(Preprocessing(fit="crop-only"), (20, 20))
    upright = fit_image(load_image(stream.getvalue(), DecodeOptions(exif=True)), target).placement
    unrotated = fit_image(load_image(stream.getvalue()), target).placement
    assert (upright.original, upright.box) == ((100, 60), (20, 40, 40, 60))
    assert (unrotated.original, unrotated.box) == ((60, 100), (40, 20, 60, 40))


def test_the_fitted_image_is_a_copy() -> None:
    for mode in ("RGB", "L"):
        image = Image.new(mode, (8, 8))
        color = Preprocessing() if mode == "RGB" else PRESETS["unit"].in_gray()
        fitted = fit_image(image, contract_of_input(color, (8, 8)))
        image.paste(255, (0, 0, 8, 8)) if mode == "L" else image.paste((255, 255, 255), (0, 0, 8, 8))
        assert np.asarray(fitted.image).max() == 0


def test_preprocessing_does_not_modify_the_image() -> None:
    image = Image.fromarray(load_sample_image("china.jpg"))
    before = np.asarray(image).copy()
    prepare(image, contract_of_input(PRESETS["torch"], (427, 640)))
    assert np.array_equal(np.asarray(image), before)
