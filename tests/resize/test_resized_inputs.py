"""The network's input, resized with the filters of TensorFlow and OpenCV, against their own pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import keras
import numpy as np
import pytest
from PIL import Image
from support.contracts import contract_of_input
from support.resizing import photo

from camserve.clients import load_image, prepare
from camserve.contract import PRESETS, ModelContract, Preprocessing, ResizeFilter
from camserve.errors import UsageError
from camserve.export import export_model
from camserve.export.gate.calibration import read_calibration
from camserve.resize import NUMPY_FILTERS
from camserve.resize.layout import Source


def contract(preprocessing: Preprocessing) -> ModelContract:
    return contract_of_input(preprocessing, (96, 128))


def preset(name: str, resize: ResizeFilter, **changes: object) -> Preprocessing:
    return PRESETS[name].model_copy(update={"resize": resize, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create a folder with one photo as JPEG."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo()).save(tmp_path / "photos" / "photo.jpg", quality=90)
    return tmp_path / "photos"


def test_every_numpy_filter_is_implemented() -> None:
    assert set(NUMPY_FILTERS) == {name for name in get_args(ResizeFilter) if name.startswith(("tf-", "cv2-"))}


@pytest.mark.parametrize("resize", ["tf-nearest", "tf-bilinear", "cv2-nearest", "cv2-linear"])
def test_pixels_of_a_photo_are_taken_without_an_array_of_all(resize: ResizeFilter) -> None:
    source = Source(Image.fromarray(photo()))
    NUMPY_FILTERS[resize](source, 224, 224)
    assert "pixels" not in vars(source)
    NUMPY_FILTERS[resize](source, 1000, 1000)  # pixels at the edges count twice
    assert ("pixels" in vars(source)) == (resize in ("tf-bilinear", "cv2-linear"))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("crop", [False, True])
def test_input_equals_image_dataset_from_directory(interpolation: str, crop: bool, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo()).save(tmp_path / "photos" / "photo.png")
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path / "photos",
        labels=None,
        image_size=(96, 128),
        shuffle=False,
        interpolation=interpolation,
        crop_to_aspect_ratio=crop,
        verbose=False,
    )
    expected = next(iter(dataset)).numpy()[0]
    filter_ = f"tf-{interpolation}"
    preprocessing = Preprocessing.model_validate({"resize": filter_, "fit": "center-crop" if crop else "stretch"})
    actual = prepare(load_image(tmp_path / "photos" / "photo.png"), contract(preprocessing))
    assert actual.dtype == np.float32
    assert np.array_equal(actual, expected)


def test_arithmetic_follows_the_resize(folder: Path) -> None:
    raw = prepare(load_image(folder / "photo.jpg"), contract(preset("raw-rgb", "tf-bilinear")))
    caffe = prepare(load_image(folder / "photo.jpg"), contract(preset("caffe", "tf-bilinear")))
    expected = keras.applications.imagenet_utils.preprocess_input(raw.copy(), mode="caffe")
    assert np.array_equal(caffe, expected)


def test_input_equals_opencv_in_bgr(folder: Path) -> None:
    pixels = np.asarray(load_image(folder / "photo.jpg"))
    expected = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), (128, 96)).astype(np.float32)
    actual = prepare(load_image(folder / "photo.jpg"), contract(preset("raw-bgr", "cv2-linear")))
    assert np.array_equal(actual, expected)


def test_gray_input_is_resized(folder: Path) -> None:
    gray = Preprocessing(color="gray", resize="cv2-area", scale=(1.0,), mean=(0.0,), std=(1.0,))
    image = load_image(folder / "photo.jpg").convert("L")
    expected = cv2.resize(np.asarray(image), (128, 96), interpolation=cv2.INTER_AREA)[:, :, np.newaxis]
    assert np.array_equal(prepare(image, contract(gray)), expected)


@pytest.mark.parametrize("resize", NUMPY_FILTERS)
@pytest.mark.parametrize("fit", ["stretch", "center-crop"])
def test_calibration_reads_the_pixels_of_the_client(resize: ResizeFilter, fit: str, folder: Path) -> None:
    preprocessing = preset("raw-rgb", resize, fit=fit)
    for number in range(11):
        Image.fromarray(np.roll(photo(), 40 * number, axis=1)).save(folder / f"shifted-{number:02}.png")
    calibration = read_calibration(folder, contract(preprocessing))
    expected = prepare(load_image(sorted(folder.iterdir())[0]), contract(preprocessing))
    pixels = np.concatenate([calibration.fit, calibration.held_out])
    assert any(np.abs(image - expected.clip(0, 255)).max() <= 0.5 for image in pixels)


@pytest.mark.parametrize("resize", ["tf-bilinear", "tf-bicubic", "tf-area"])
def test_fractions_are_refused_for_whole_pixels(resize: ResizeFilter, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--resize {resize} gives pixels with fractions, which --input uint8 cannot"):
        export_model("resnet-mini", tmp_path / "out", resize=resize, input_dtype="uint8")
    with pytest.raises(ValueError, match="gives fractions"):
        Preprocessing(resize=resize, in_graph=True)
