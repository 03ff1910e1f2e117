"""Configurations for OpenVINO pin the precision of the export, and run on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.errors import UsageError
from camserve.serving.config.backends import backend_of
from camserve.serving.config.instances import read_parameter
from camserve.serving.config.message import build_config, read_options, update_config
from camserve.serving.config.named_options import make_options
from camserve.serving.config.openvino import BATCH_PADDING, HINT_BF16, PRECISION

_CPU: dict[str, Any] = {"accelerator": "none"}


def _config(bundle: Bundle, precision: str = "fp32", **options: Any) -> Any:
    given = make_options({**_CPU, **options})
    return build_config(bundle.contract, bundle.labels, given, backend="openvino", precision=precision)


def _update(bundle: Bundle, config: Any, changes: dict[str, Any], backend: Any, precision: str = "fp32") -> Any:
    return update_config(config, bundle.contract, bundle.labels, changes, backend=backend, precision=precision)


def _pins(config: Any) -> tuple[str, str]:
    return read_parameter(config, PRECISION), read_parameter(config, HINT_BF16)


@pytest.mark.parametrize(
    ("precision", "pins"),
    [("fp32", ("f32", "")), ("fp16", ("f32", "")), ("int8", ("f32", "")), ("bf16", ("bf16", "YES"))],
)
def test_the_precision_of_the_export_is_pinned(precision: str, pins: tuple[str, str], toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, precision)
    assert (config.backend, config.default_model_filename, backend_of(config)) == (
        "openvino",
        "model.onnx",
        "openvino",
    )
    assert _pins(config) == pins
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    assert read_parameter(config, BATCH_PADDING) == "YES"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threads": 3, "instances": 2, "max_batch_size": 32},
        {"batch_sizes": (1, 4)},
        {"batch_sizes": (), "warmup": False, "max_queue_delay_us": 0, "latest_versions": 2},
    ],
)
def test_options_read_back(options: dict[str, Any], toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, **options)
    assert make_options(read_options(config)) == make_options({**_CPU, **options})
    assert read_parameter(config, "INFERENCE_NUM_THREADS") == str(options.get("threads", ""))


@pytest.mark.parametrize("accelerator", ["auto", "cuda", "tensorrt", "openvino"])
def test_other_accelerators_are_refused_with_a_reason(accelerator: str, toy_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=rf"the openvino backend does .* accelerator {accelerator}[:,] ") as raised:
        _config(toy_bundle, accelerator=accelerator)
    assert "--accelerator none" in str(raised.value.hint)


def test_threads_across_operators_are_refused(toy_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="openvino backend does not support inter_threads"):
        _config(toy_bundle, inter_threads=2)


def test_a_new_version_in_another_precision_is_pinned_to_it_without_any_change(toy_bundle: Bundle) -> None:
    config = _update(toy_bundle, _config(toy_bundle, threads=2), {}, "openvino", "bf16")
    assert _pins(config) == ("bf16", "YES")
    assert _pins(_update(toy_bundle, config, {}, "openvino", "int8")) == ("f32", "")
    assert read_options(config)["threads"] == 2


def test_another_backend_keeps_the_options_and_runs_on_the_cpu(toy_bundle: Bundle) -> None:
    before = build_config(toy_bundle.contract, toy_bundle.labels, make_options({"threads": 3, "max_batch_size": 4}))
    config = _update(toy_bundle, before, {}, "openvino", "bf16")
    options = read_options(config)
    assert (options["accelerator"], options["threads"], options["max_batch_size"]) == ("none", 3, 4)
    assert "intra_op_thread_count" not in config.parameters
    back = _update(toy_bundle, config, {}, "onnxruntime")
    assert {PRECISION, HINT_BF16, BATCH_PADDING, "INFERENCE_NUM_THREADS"}.isdisjoint(back.parameters)
    assert read_options(back)["threads"] == 3


def test_a_model_that_was_published_for_a_gpu_is_refused(toy_bundle: Bundle) -> None:
    before = build_config(toy_bundle.contract, toy_bundle.labels, make_options({"accelerator": "cuda"}))
    with pytest.raises(UsageError, match="openvino backend does not support accelerator cuda: it computes on the CPU"):
        _update(toy_bundle, before, {}, "openvino")
    assert read_options(_update(toy_bundle, before, _CPU, "openvino"))["accelerator"] == "none"
