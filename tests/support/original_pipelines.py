"""Pipelines from image file to tensor as notebooks write them, with Keras, TensorFlow and OpenCV themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.contract import Fit, ResizeFilter

__all__ = ["original_tensor", "write_expected", "write_photos"]

Array = npt.NDArray[Any]
Size = tuple[int, int]

_TENSORFLOW = {"tf-nearest": "nearest", "tf-bilinear": "bilinear", "tf-bicubic": "bicubic", "tf-area": "area"}
_OPENCV = {"cv2-nearest": cv2.INTER_NEAREST, "cv2-linear": cv2.INTER_LINEAR, "cv2-area": cv2.INTER_AREA}
_SIDES = ((427, 640), (300, 300), (400, 250), (233, 320), (350, 500), (256, 448), (320, 240), (427, 427), (250, 610))


def write_photos(folder: Path, count: int, suffix: str = ".png") -> list[Path]:
    """Write parts of scikit-learn's photos in several sizes and aspect ratios."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        photo = load_sample_image(("china.jpg", "flower.jpg")[number % 2])
        height, width = _SIDES[number % len(_SIDES)]
        top, left = (int(rng.integers(0, space + 1)) for space in (427 - height, 640 - width))
        paths.append(folder / f"photo-{number}{suffix}")
        part = np.ascontiguousarray(photo[top : top + height, left : left + width])
        Image.fromarray(part if number % 3 else part[::-1]).save(paths[-1], quality=95)
    return paths


def original_tensor(path: Path, preset: str, resize: ResizeFilter, fit: Fit, size: Size) -> Array:
    """Return the tensor of an image file, float32 `[height, width, 3]`.

    Args:
        path: The file.
        preset: A preset of camserve; computed by the `preprocess_input` of Keras, or a division.
        resize: A filter of camserve; computed by Keras's `load_img`, `tf.image.resize` or `cv2.resize`.
        fit: How the image is fitted to the size.
        size: Height and width.
    """
    if fit == "crop-only":  # as in the notebook on camera models
        pixels = cv2.imread(str(path))[..., ::-1]
        top, left = (side // 2 - wanted // 2 for side, wanted in zip(pixels.shape[:2], size, strict=True))
        rgb = pixels[top : top + size[0], left : left + size[1]]
    elif resize in _TENSORFLOW:
        image = tf.io.decode_image(tf.io.read_file(str(path)), channels=3, expand_animations=False)
        rgb = _resize_with_tensorflow(image, resize, fit, size)
    elif resize in _OPENCV:
        rgb = cv2.resize(_central(cv2.imread(str(path)), fit, size), size[::-1], interpolation=_OPENCV[resize])[
            ..., ::-1
        ]
    else:
        keep = fit == "center-crop"
        image = keras.utils.load_img(path, target_size=size, interpolation=resize, keep_aspect_ratio=keep)
        rgb = keras.utils.img_to_array(image)
    return _arithmetic(np.array(rgb, np.float32), preset)


def write_expected(path: Path, images: Sequence[Path], answers: Array) -> Path:
    """Write the probabilities of images as CSV, with a column for each class, and return its path."""
    lines = ["path," + ",".join(map(str, range(answers.shape[1])))]
    lines += [
        f"{image.name},{','.join(map(repr, map(float, row)))}" for image, row in zip(images, answers, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _resize_with_tensorflow(image: Any, resize: str, fit: Fit, size: Size) -> Array:
    if fit == "center-crop" and resize == "tf-bilinear":
        return np.asarray(keras.preprocessing.image.smart_resize(np.asarray(image), size, interpolation="bilinear"))
    return np.asarray(tf.image.resize(_central(np.asarray(image), fit, size), size, method=_TENSORFLOW[resize]))


def _central(pixels: Array, fit: Fit, size: Size) -> Array:
    """Return the central part with the aspect ratio of the size."""
    if fit == "stretch":
        return pixels
    height = min(pixels.shape[0], pixels.shape[1] * size[0] // size[1])
    width = min(pixels.shape[1], pixels.shape[0] * size[1] // size[0])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _arithmetic(rgb: Array, preset: str) -> Array:
    match preset:
        case "caffe" | "tf" | "torch":
            return np.asarray(keras.applications.imagenet_utils.preprocess_input(rgb, mode=preset), np.float32)
        case "unit":
            return rgb / np.float32(255)
        case "raw-bgr":
            return rgb[..., ::-1].copy()
    return rgb
