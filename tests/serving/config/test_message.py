"""Triton's model configuration."""

from pathlib import Path
from typing import Any, get_args

import pytest
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import RepositoryError
from camserve.serving import Accelerator, ServingOptions
from camserve.serving.config.message import build_config, read_config, read_options, render_config


def _config(bundle: Bundle, **options: Any) -> Any:
    return build_config(bundle.contract, bundle.labels, ServingOptions(**options))


def test_what_is_printed_reads_back_equal(toy_bundle: Bundle, tmp_path: Path) -> None:
    labels = ('quote " and \\', "newline-free é 猫", "tab\tseparated", "plain")
    config = build_config(toy_bundle.contract, labels, ServingOptions())
    path = tmp_path / "config.pbtxt"
    path.write_text(render_config(config), encoding="utf-8")
    assert read_config(path) == config
    assert read_config(path).parameters[LABELS_PARAMETER].string_value.split("\n") == list(labels)


def test_the_contract_travels_in_the_configuration(toy_bundle: Bundle) -> None:
    text = _config(toy_bundle).parameters[CONTRACT_PARAMETER].string_value
    assert ModelContract.from_json(text) == toy_bundle.contract


def test_nothing_is_left_to_the_defaults_of_triton(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, max_batch_size=16, instances=2, threads=3, max_queue_delay_us=700, latest_versions=2)
    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    assert config.max_batch_size == 16
    assert config.instance_group[0].count == 2
    assert config.dynamic_batching.max_queue_delay_microseconds == 700
    assert config.version_policy.latest.num_versions == 2
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    assert [list(tensor.dims) for tensor in config.output] == [[4], [4], [3, 4, 4], [3]]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 16]


def test_warmup_of_a_single_size_runs_once_and_can_be_left_out(toy_bundle: Bundle) -> None:
    assert [warmup.batch_size for warmup in _config(toy_bundle, max_batch_size=1).model_warmup] == [1]
    assert not _config(toy_bundle, warmup=False).model_warmup


@pytest.mark.parametrize(
    ("accelerator", "kind"),
    [("auto", "AUTO"), ("none", "CPU"), ("cuda", "GPU"), ("tensorrt", "GPU"), ("openvino", "CPU")],
)
def test_an_accelerator_chooses_the_kind_of_instance(toy_bundle: Bundle, accelerator: str, kind: str) -> None:
    group = _config(toy_bundle, accelerator=accelerator).instance_group[0]
    assert model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind) == f"KIND_{kind}"


def test_the_profile_of_tensorrt_covers_every_batch(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, accelerator="tensorrt", max_batch_size=4)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.parameters["trt_profile_min_shapes"] == "image:1x8x8x3"
    assert accelerator.parameters["trt_profile_max_shapes"] == "image:4x8x8x3"


def test_an_unreadable_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text("name: {", encoding="utf-8")
    with pytest.raises(RepositoryError, match=r"config\.pbtxt"):
        read_config(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_batch_size": 3, "max_queue_delay_us": 0, "instances": 2, "threads": 5, "latest_versions": 4},
        {"warmup": False},
        *({"accelerator": accelerator} for accelerator in get_args(Accelerator)),
    ],
)
def test_the_options_read_back_out_of_the_configuration(toy_bundle: Bundle, options: dict[str, Any]) -> None:
    assert ServingOptions(**read_options(_config(toy_bundle, **options))) == ServingOptions(**options)
