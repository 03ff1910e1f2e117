"""JPEG files decoded with the fast DCT, against TensorFlow itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.image_files import draw, save
from support.resizing import photo

from camserve.contract import Preprocessing
from camserve.errors import ImageError, UsageError
from camserve.images.colors import to_colors_of
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import load_image

pytest.importorskip("simplejpeg")
FAST = DecodeOptions(fast_jpeg=True)


def decoded(data: bytes, options: DecodeOptions = FAST) -> np.ndarray[Any, Any]:
    return np.asarray(to_colors_of(Preprocessing(), load_image(data, options)))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"quality": 40}, {"progressive": True}])
def test_pixels_equal_those_of_tensorflow(mode: str, options: dict[str, Any]) -> None:
    data = save(Image.fromarray(photo()).resize((333, 211)).convert(mode), "JPEG", **options)
    expected = np.asarray(tf.io.decode_image(data, channels=3))
    assert np.array_equal(decoded(data), expected)
    assert not np.array_equal(decoded(data, DecodeOptions()), expected)


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(draw("RGB"), "JPEG", exif=exif)
    upright = decoded(data, DecodeOptions(fast_jpeg=True, exif=True))
    assert np.array_equal(upright, np.rot90(decoded(data), -1))


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "RGB"), ("JPEG", "CMYK")])
def test_other_files_are_not_affected(file_format: str, mode: str) -> None:
    data = save(draw(mode), file_format)
    assert np.array_equal(decoded(data), decoded(data, DecodeOptions()))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(share: float) -> None:
    data = save(draw("RGB", (64, 64)), "JPEG")
    with pytest.raises(ImageError, match="is corrupt or truncated"):
        load_image(data[: int(share * len(data))], FAST)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.images.fast_jpeg.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="requires simplejpeg") as caught:
        DecodeOptions(fast_jpeg=True)
    assert caught.value.hint == "Install it: pip install 'camserve[fast-jpeg]'"
