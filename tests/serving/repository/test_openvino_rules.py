"""The linter's rules about models that OpenVINO runs: each finds its fault, and nothing in what is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.model_folder import write_model_folder

from camserve.bundle import Bundle
from camserve.serving.config.message import build_config
from camserve.serving.config.named_options import make_options
from camserve.serving.config.openvino import BATCH_PADDING, HINT_BF16, PRECISION
from camserve.serving.repository.lint.engine import lint_repository

_RULE = "unpinned-precision"


def _found(
    bundle: Bundle,
    repository: Path,
    change: Callable[[Any], object] | None = None,
    *,
    precision: str = "fp32",
    exported: str | None = None,
) -> list[tuple[str, str]]:
    options = make_options({"accelerator": "none"})
    config = build_config(bundle.contract, bundle.labels, options, backend="openvino", precision=precision)
    if change is not None:
        change(config)
    folder = write_model_folder(repository, bundle, config)
    (folder / "1" / "report.json").write_text(json.dumps({"precision": exported or precision}))
    return [(finding.rule, finding.severity) for finding in lint_repository(repository, cores=4)]


def _parameters(**values: str | None) -> Callable[[Any], object]:
    def change(config: Any) -> None:
        for name, value in values.items():
            config.parameters.pop(name, None)
            if value is not None:
                config.parameters[name].string_value = value

    return change


def _automatic(config: Any) -> None:
    config.instance_group[0].kind = 0


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8 (cpu)"])
def test_what_is_published_has_no_findings(precision: str, toy_bundle: Bundle, tmp_path: Path) -> None:
    assert _found(toy_bundle, tmp_path, precision=precision.partition(" ")[0], exported=precision) == []


@pytest.mark.parametrize(
    ("change", "rule", "severity"),
    [
        (_parameters(**{PRECISION: None}), _RULE, "error"),
        (_parameters(**{PRECISION: None, HINT_BF16: "YES"}), _RULE, "error"),
        (_parameters(**{PRECISION: "f16"}), _RULE, "error"),
        (_parameters(**{HINT_BF16: "YES"}), _RULE, "error"),
        (_parameters(**{PRECISION: "bf16"}), "other-precision", "error"),
        (_parameters(**{BATCH_PADDING: None}), "unpadded-batches", "warning"),
        (_automatic, "openvino-instance-kind", "error"),
    ],
)
def test_a_configuration_written_by_hand_is_found(
    change: Callable[[Any], object], rule: str, severity: str, toy_bundle: Bundle, tmp_path: Path
) -> None:
    assert _found(toy_bundle, tmp_path, change) == [(rule, severity)]


def test_a_bf16_version_pinned_to_float32_is_found(toy_bundle: Bundle, tmp_path: Path) -> None:
    assert _found(toy_bundle, tmp_path, precision="fp32", exported="bf16") == [("other-precision", "error")]


def test_an_unserved_version_of_another_precision_is_not_reported(toy_bundle: Bundle, tmp_path: Path) -> None:
    def serve_version_2(config: Any) -> None:
        config.version_policy.latest.num_versions = 1
        folder = tmp_path / "toy" / "2"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes((toy_bundle.path / "model.onnx").read_bytes())
        (folder / "report.json").write_text('{"precision": "fp32"}')

    assert _found(toy_bundle, tmp_path, serve_version_2, exported="bf16") == []
