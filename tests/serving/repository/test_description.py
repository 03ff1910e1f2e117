"""Describing a published model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camserve.bundle import REPORT_NAME, Bundle
from camserve.errors import RepositoryError
from camserve.serving import ParityMetric, accept_config, describe_model, publish
from camserve.serving.config.named_options import DEFAULTS
from camserve.serving.config.presets import HostProfile, preset_options


def test_a_description_contains_what_was_published(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    publish(toy_bundle, tmp_path, options={"max_batch_size": 4, "threads": 2})
    model = describe_model(tmp_path, "toy")
    assert (model.name, model.path, model.backend) == ("toy", tmp_path / "toy", "onnxruntime")
    assert model.options == {**DEFAULTS, "max_batch_size": 4, "threads": 2}
    assert model.changed_options == {"max_batch_size": 4, "threads": 2}
    assert (model.preset, model.edited) == (None, False)
    assert model.contract == toy_bundle.contract
    assert model.labels == tuple(toy_bundle.labels)
    assert [(version.number, version.served) for version in model.versions] == [(1, False), (2, True)]


@pytest.mark.parametrize("preset", ["cpu-latency", "cpu-throughput", "gpu", "tensorrt"])
def test_a_preset_is_recognized(preset: str, toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path, options=preset_options(preset, HostProfile(16)))
    assert describe_model(tmp_path, "toy").preset == preset


def test_a_manual_edit_is_reported_until_it_is_accepted(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    path = tmp_path / "toy" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 6"))
    model = describe_model(tmp_path, "toy")
    assert (model.edited, model.options["max_batch_size"]) == (True, 6)
    accept_config(tmp_path, "toy")
    assert not describe_model(tmp_path, "toy").edited


def test_metrics_are_the_worst_of_all_batch_sizes(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    report = tmp_path / "toy" / "1" / REPORT_NAME
    entry = {"format": "onnx", "figure": "logits", "batch": 1, "value": 1e-6, "bound": 1e-4, "default": 1e-5}
    noise = {"format": "onnx", "figure": "noise", "batch": 1, "value": 2, "bound": None}
    document = {"parity": [entry, {**entry, "batch": 8, "value": 3e-6}, noise, {"value": None}, "damaged"]}
    report.write_text(json.dumps(document))
    assert describe_model(tmp_path, "toy").metrics == (
        ParityMetric("onnx", "logits", 3e-6, 1e-4, 1e-5),
        ParityMetric("onnx", "noise", 2.0, None),
    )
    report.write_text("[]")
    assert describe_model(tmp_path, "toy").metrics == ()


def test_the_preprocessing_preset_is_recognized(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    assert describe_model(tmp_path, "toy").preprocessing_preset == "unit"


@pytest.mark.parametrize("name", ["toi", "../toy", ""])
def test_an_unknown_model_lists_the_known_ones(name: str, toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    with pytest.raises(RepositoryError, match="has: toy"):
        describe_model(tmp_path, name)
