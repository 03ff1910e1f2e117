"""Which arithmetic loses pixels in float32: the check of a contract agrees with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from camserve.contract import PRESETS, Preprocessing
from camserve.contract.fields import SMALLEST_NORMAL
from camserve.contract.float32 import lost_pixels
from camserve.pixels import normalize

RANGE = np.arange(-256, 512, dtype=np.float32)


def lost_in_numpy(scale: float, mean: float, std: float) -> bool:
    values = RANGE
    with np.errstate(all="ignore"):
        for operate, operand in ((np.divide, scale), (np.subtract, mean), (np.divide, std)):
            values = operate(values, np.float32(operand))
            magnitudes = np.abs(values)
            if not np.isfinite(values).all() or ((magnitudes > 0) & (magnitudes < SMALLEST_NORMAL)).any():
                return True
    return len(np.unique(values)) < len(RANGE)


def test_the_check_agrees_with_numpy_on_random_arithmetic() -> None:
    random = np.random.default_rng(0)
    found = []
    for scale, mean, std in random.choice([-1, 1], (300, 3)) * 10.0 ** random.uniform(-25, 25, (300, 3)):
        lost = lost_pixels((("divide", scale), ("subtract", mean), ("divide", std))) is not None
        assert lost == lost_in_numpy(scale, mean, std), (scale, mean, std)
        found.append(lost)
    assert 30 < sum(found) < 290


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"scale": (1e-37, 1, 1)}, "make them infinite in channel 0"),
        ({"mean": (0, 1e38, 0), "std": (1, 1e-30, 1)}, "make them infinite in channel 1"),
        ({"scale": (1, 1, 1e38)}, "make them subnormal in channel 2"),
        ({"mean": (1e9, 0, 0)}, "make them equal to each other in channel 0"),
        ({"mean": (np.inf, 0, 0)}, "must be a finite number"),
        ({"std": (1, 0, 1)}, "is a divisor and must not be 0"),
        ({"scale": (True, 1, 1)}, "must be a number"),
    ],
)
def test_arithmetic_that_loses_pixels_is_refused_in_python_too(values: dict[str, tuple[float, ...]], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Preprocessing.model_validate(values)


def test_usual_and_unusual_arithmetic_is_accepted() -> None:
    for preset in PRESETS.values():
        assert Preprocessing.model_validate(preset.model_dump()) == preset
    inverted = Preprocessing(scale=(-255.0,) * 3, mean=(-1.0,) * 3)  # 1 - x / 255
    pixels = np.arange(256, dtype=np.uint8)[:, np.newaxis].repeat(3, axis=1)
    np.testing.assert_allclose(normalize(pixels, inverted), 1 - pixels / 255, atol=1e-7)
    Preprocessing(scale=(255.0,) * 3, mean=(128.0,) * 3, std=(64.0,) * 3)  # a mean of 0 to 255 after a scale to 1
    numpy_values = Preprocessing(mean=tuple(np.array([0.1, 0.2, 0.3], np.float32)))
    assert numpy_values.mean == tuple(float(np.float32(value)) for value in (0.1, 0.2, 0.3))
