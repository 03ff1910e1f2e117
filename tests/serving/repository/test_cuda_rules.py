"""The linter's rules about models on CUDA, each with a configuration that breaks it and one that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.linting import Lint, accelerator_parameters, with_precision
from support.model_folder import toy_config, write_model_folder

from camserve.bundle import Bundle
from camserve.serving.repository.lint.engine import lint_repository

_CUDA = {"accelerator": "cuda", "batch_sizes": (1, 8)}


def _free_sizes(config: Any) -> None:
    config.parameters["batch_sizes"].string_value = "none"


def _without_sizes(config: Any) -> None:
    del config.parameters["batch_sizes"]


def _with(**options: str) -> Callable[[Any], object]:
    return lambda config: accelerator_parameters(config).update(options)


def _published_before(config: Any) -> None:
    config.optimization.Clear()


def _in_python(config: Any) -> None:
    config.backend = "python"
    config.optimization.Clear()


@pytest.mark.parametrize(
    ("change", "options", "found"),
    [
        (_with(use_ep_level_unified_stream="1"), _CUDA, None),
        (_with(fuse_conv_bias="1", prefer_nhwc="1"), _CUDA, None),
        (_with(use_tf32="false"), _CUDA, None),
        (_with(prefer_nhwk="1"), _CUDA, ("unsupported-cuda-option", "warning")),
        (_with(fuse_conv_bias="1"), _CUDA, ("fuse-conv-bias-alone", "error")),
        (_with(fuse_conv_bias="true", prefer_nhwc="0"), _CUDA, ("fuse-conv-bias-alone", "error")),
        (_with(enable_cuda_graph="1"), _CUDA, ("cuda-graph-option", "error")),
        (_with(use_tf32="1"), _CUDA, ("tf32-arithmetic", "warning")),
        (None, {**_CUDA, "gpu_math": "tf32"}, ("tf32-arithmetic", "warning")),
        (None, {"gpu_math": "unset"}, ("tf32-arithmetic", "warning")),
        (_published_before, {}, ("tf32-arithmetic", "warning")),
        (_published_before, {"accelerator": "none"}, None),
        (_free_sizes, _CUDA, ("free-batch-sizes", "warning")),
        (_without_sizes, _CUDA, ("free-batch-sizes", "warning")),
        (None, {"accelerator": "cuda", "max_batch_size": 1}, None),
        (None, {"accelerator": "cuda", "batch_sizes": ()}, ("free-batch-sizes", "warning")),
        (None, {}, None),
        (_in_python, {"accelerator": "cuda"}, None),
    ],
)
def test_problems_of_cuda_are_found(
    lint: Lint, change: Callable[[Any], object] | None, options: dict[str, Any], found: tuple[str, str] | None
) -> None:
    assert lint(change, options=options) == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("triton", "parameters", "rules"),
    [
        ("24.11", {"fuse_conv_bias": "0"}, ["unsupported-cuda-option"]),
        ("24.12", {"fuse_conv_bias": "0"}, []),
        ("24.11", {"fuse_conv_bias": "1", "prefer_nhwc": "1"}, ["unsupported-cuda-option", "unsupported-nhwc"]),
        ("24.07", {"sdpa_kernel": "1"}, ["unsupported-cuda-option"]),
        ("24.09", {"sdpa_kernel": "1"}, []),
        ("24.07", {"prefer_nhwc": "0"}, []),
        ("25.02", {"prefer_nhwc": "1"}, ["unsupported-nhwc"]),
        ("25.03", {"prefer_nhwc": "1"}, []),
    ],
)
def test_a_cuda_option_newer_than_the_targets_onnx_runtime_is_found(
    lint: Lint, triton: str, parameters: dict[str, str], rules: list[str]
) -> None:
    assert lint(_with(**parameters), options=_CUDA, triton=triton) == [(rule, "error") for rule in rules]


@pytest.mark.parametrize(
    ("triton", "options", "flags"),
    [
        ("24.05", {"prefer_nhwc": True, "fuse_conv_bias": True}, "--gpu-math unset --set fuse_conv_bias=none --set pr"),
        ("24.05", {"gpu_math": "unset", "prefer_nhwc": True}, "--set prefer_nhwc=none"),
        ("24.07", {"prefer_nhwc": True, "fuse_conv_bias": True}, "--set fuse_conv_bias=none"),
    ],
)
def test_the_command_removes_every_unsupported_option(
    triton: str, options: dict[str, Any], flags: str, toy_bundle: Bundle, tmp_path: Path
) -> None:
    write_model_folder(tmp_path, toy_bundle, toy_config(toy_bundle, options={**_CUDA, **options}))
    (hint,) = (each.hint for each in lint_repository(tmp_path, triton=triton) if each.rule == "unsupported-cuda-option")
    assert f"camserve publish BUNDLE_DIR --repository DIR {flags}" in hint


@pytest.mark.parametrize(
    ("parameters", "change", "seconds"),
    [
        ({}, _free_sizes, "0.15 to 1.3 s"),
        ({"cudnn_conv_algo_search": "heuristic"}, _free_sizes, "0.15 to 0.2 s"),
        ({"prefer_nhwc": True, "fuse_conv_bias": True}, _without_sizes, "2 to 7 s in Triton's C++ backend"),
    ],
)
def test_free_sizes_are_reported_with_what_they_cost_and_the_command(
    parameters: dict[str, Any], change: Callable[[Any], object], seconds: str, toy_bundle: Bundle, tmp_path: Path
) -> None:
    config = toy_config(toy_bundle, options={**_CUDA, **parameters, "max_batch_size": 16, "batch_sizes": (16,)})
    change(config)
    write_model_folder(tmp_path, toy_bundle, config)
    (finding,) = lint_repository(tmp_path)
    assert set(seconds.split()) <= set(finding.message.replace(":", "").split())
    assert "camserve publish BUNDLE_DIR --repository DIR --set batch_sizes=1,8,16;" in finding.hint


@pytest.mark.parametrize(
    ("accelerator", "nhwc", "found"),
    [
        ({"accelerator": "cuda", "batch_sizes": (8,)}, False, [("int8-without-tensorrt", "warning")]),
        ({"accelerator": "cuda", "batch_sizes": (8,)}, True, [("int8-without-tensorrt", "error")]),
        ({"accelerator": "tensorrt"}, False, []),
        ({"accelerator": "none"}, False, []),
        ({}, False, []),
    ],
)
def test_int8_on_cuda_is_found(
    lint: Lint, accelerator: dict[str, Any], nhwc: bool, found: list[tuple[str, str]]
) -> None:
    """Publishing refuses it, but a configuration may be edited."""
    change = _with(prefer_nhwc="1") if nhwc else None
    assert lint(change, with_precision("int8"), options=accelerator) == found
