"""Option checks run before a framework is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from camserve.contract import PRESETS, Preprocessing
from camserve.errors import SourceError, UsageError
from camserve.export import RECIPES, Tolerances, export_model
from camserve.export.option_checks import check_options
from camserve.export.options import ExportOptions

pytestmark = pytest.mark.slow

CALL = """
import sys
from camserve.errors import CamserveError
from camserve.export import export_model
try:
    export_model("missing.keras", sys.argv[1])
except CamserveError as error:
    print(error.message)
print(sorted(name for name in ("tensorflow", "keras", "onnx", "onnxruntime") if name in sys.modules))
"""


def test_no_framework_is_loaded_before_the_options_are_checked(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", CALL, tmp_path / "bundle"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines() == ["'missing.keras' is neither a recipe nor an existing file", "[]"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("resnet-mini", {"labels": ["a", "b"]}, "2 labels in the list for 10 classes"),
        ("resnet50", {"labels": ["a"]}, "1 label in the list for 1,000 classes"),
        ("keras:MobileNet", {"labels": ["a"]}, "1 label in the list for 1,000 classes"),
        ("resnet-mini", {"preprocessing": "vgg"}, "unknown preprocessing 'vgg'"),
        ("resnet-mini", {"resize": "cubic"}, "unsupported preprocessing --resize cubic"),
        ("resnet-mini", {"weights": "imagenet"}, "recipe 'resnet-mini' has no ImageNet weights"),
        ("resnet-mini", {"input_dtype": "int4"}, "unknown input type 'int4'"),
        ("resnet-mini", {"precision": "fp8"}, "unknown precision 'fp8'"),
        ("resnet-mini", {"precision": "int8", "int8_target": "x"}, "unknown int8 target 'x'; choose cpu or tensorrt"),
        ("resnet-mini", {"int8_layers": "some"}, "int8_layers must begin with auto or all, got 'some'"),
        ("resnet-mini", {"int8_layers": "all,-a"}, "--int8-layers all,-a has no effect with --precision fp32"),
        ("resnet-mini", {"cam": False, "cam_all": True}, "--cam-all conflicts with --no-cam"),
        ("resnet-mini", {"opset": 99}, "opset must be from 9 to 18, got 99"),
        ("resnet-mini", {"formats": []}, "formats must not be empty"),
        ("resnet-mini", {"calibration": "missing"}, "missing is not a folder"),
    ],
)
def test_invalid_option_is_refused_without_loading_the_source(
    source: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    phases: list[str] = []
    with pytest.raises(UsageError) as raised:
        export_model(source, tmp_path / "bundle", progress=phases.append, **options)
    assert raised.value.message.startswith(message)
    assert phases == []


def test_missing_weights_file_is_refused_without_loading_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"weights file '.*w\.h5' does not exist"):
        export_model("resnet-mini", tmp_path / "bundle", weights=str(tmp_path / "w.h5"))


@pytest.mark.parametrize(
    ("options", "unknown", "named"),
    [
        ({}, "preprocessing", ["--preprocess caffe|tf|", "--resize nearest", "--resize tf-bilinear"]),
        ({"resize": "nearest"}, "preprocessing", ["--preprocess caffe|tf|"]),
        ({"fit": "crop-only"}, "preprocessing", ["--preprocess caffe|tf|"]),
        ({"preprocessing": "tf"}, "resize filter", ["--resize nearest", "--resize tf-bilinear", "--resize cv2-linear"]),
        ({"preprocessing": PRESETS["unit"].in_gray()}, "resize filter", ["--resize nearest", "--resize tf-bilinear"]),
    ],
)
def test_preprocessing_and_resize_of_a_file_are_required(
    options: dict[str, Any], unknown: str, named: list[str], tmp_path: Path
) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match=rf"the {unknown} of .*model\.keras is unknown") as raised:
        export_model(tmp_path / "model.keras", tmp_path / "bundle", **options)
    assert [option for option in named if option not in str(raised.value.hint)] == []
    assert ("--resize" in str(raised.value.hint)) == any("--resize" in option for option in named)


@pytest.mark.parametrize(
    "options",
    [
        {"preprocessing": "caffe", "resize": "tf-bilinear"},
        {"preprocessing": "raw-bgr", "fit": "crop-only"},
        {"preprocessing": Preprocessing(resize="cv2-linear")},
        {"preprocessing": RECIPES["resnet-mini"].preprocessing},
    ],
)
def test_no_filter_is_required_where_it_is_known_or_unused(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04")
    check_options(tmp_path / "model.keras", ExportOptions(**options))


def test_unknown_tolerance_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown metric 'speed'"):
        Tolerances.from_values({"speed": 3.0})
    assert Tolerances.from_values({"logits": 0.5}) == Tolerances(logits=0.5)


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_tolerance_that_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(
        UsageError, match=f"the tolerance of logits must be a finite number of at least 0, got {value:g}"
    ):
        Tolerances(logits=value)
