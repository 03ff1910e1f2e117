"""Triton's model configuration."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.disposable_server import DisposableServer
from support.model_folder import toy_config, write_model_folder
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import RepositoryError, UsageError
from camserve.serving import Resource, ServingOptions, TensorRT
from camserve.serving.config.accelerator_options import ACCELERATORS
from camserve.serving.config.message import build_config, read_config, read_options, render_config, update_config
from camserve.serving.config.named_options import DEFAULTS, make_options


def _config(bundle: Bundle, **options: Any) -> Any:
    return build_config(bundle.contract, bundle.labels, make_options(options))


def test_a_rendered_configuration_reads_back_equal(toy_bundle: Bundle, tmp_path: Path) -> None:
    labels = ('quote " and \\', "newline-free é 猫", "tab\tseparated", "plain")
    config = build_config(toy_bundle.contract, labels, ServingOptions())
    path = tmp_path / "config.pbtxt"
    path.write_text(render_config(config), encoding="utf-8")
    assert read_config(path) == config
    assert read_config(path).parameters[LABELS_PARAMETER].string_value.split("\n") == list(labels)


def test_the_contract_is_stored_in_the_configuration(toy_bundle: Bundle) -> None:
    text = _config(toy_bundle).parameters[CONTRACT_PARAMETER].string_value
    assert ModelContract.from_json(text) == toy_bundle.contract


def test_triton_defaults_are_not_relied_on(toy_bundle: Bundle) -> None:
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


_LEVELS: dict[str, Any] = {"priority_levels": 3, "default_priority": 2}
_CUDA: dict[str, Any] = {
    "cudnn_conv_algo_search": "heuristic",
    "gpu_mem_limit": 2**33,
    "arena_extend_strategy": "same-as-requested",
    "do_copy_in_default_stream": False,
}
_ARITHMETIC: dict[str, Any] = {
    "gpu_math": "tf32",
    "prefer_nhwc": True,
    "fuse_conv_bias": True,
    "cuda_graphs": True,
}
_TENSORRT: dict[str, Any] = {
    "accelerator": "tensorrt",
    "gpus": (0, 1),
    "tensorrt_precision": "fp16",
    "tensorrt_opt_batch_size": 4,
    "tensorrt_workspace": 2**32,
    "tensorrt_timing_cache": False,
    "tensorrt_cache_path": "/cache",
}
_RESOURCES = (Resource(name="disk", count=2), Resource(name="link", shared=True))

_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"max_batch_size": 3, "max_queue_delay_us": 0, "instances": 2, "threads": 5, "latest_versions": 4},
    {"warmup": False, "response_cache": True},
    {"image_files": True},
    {"image_files": True, "image_file_instances": 7},
    {"preferred_batch_sizes": (8, 4), "max_queue_size": 256},
    {"queue_timeout_us": 5_000, "queue_timeout_action": "continue", "queue_timeout_override": True},
    _LEVELS,
    {"threads": 2, "inter_threads": 2},
    {"versions": "all"},
    {"versions": (7, 3)},
    {"rate_limiter_resources": _RESOURCES, "rate_limiter_priority": 2},
    *({"accelerator": accelerator} for accelerator in ACCELERATORS),
    *({"gpu_math": value} for value in ("float32", "tf32", "unset")),
    {"cpu_fallback": False},
    *({"batch_sizes": value} for value in ("auto", (), (8,), (4, 1))),
    {"batch_sizes": (1,), "accelerator": "none", "max_batch_size": 32},
    _ARITHMETIC,
    {**_ARITHMETIC, "accelerator": "cuda", "batch_sizes": (1, 8, 32), "max_batch_size": 64},
    {"accelerator": "cuda", "gpu_math": "unset", "prefer_nhwc": False, "fuse_conv_bias": False, "cuda_graphs": False},
    _CUDA,
    {**_CUDA, "accelerator": "cuda", "gpus": (1,), "cudnn_conv_algo_search": "default"},
    _TENSORRT,
    {**_TENSORRT, **_CUDA, **_LEVELS, "max_batch_size": 32, "tensorrt_engine_cache": False, "latest_versions": 2},
)


@pytest.mark.parametrize("options", _OPTIONS)
def test_options_read_back_from_the_configuration(toy_bundle: Bundle, options: dict[str, Any]) -> None:
    assert make_options(read_options(_config(toy_bundle, **options))) == make_options(options)


def test_random_options_read_back_from_the_file(toy_bundle: Bundle, tmp_path: Path) -> None:
    random = Random(0)
    for _ in range(200):
        chosen = {name: value for options in random.sample(_OPTIONS, 3) for name, value in options.items()}
        try:
            options = make_options(chosen)
        except UsageError:
            continue  # the three contradict each other
        path = tmp_path / "config.pbtxt"
        path.write_text(render_config(_config(toy_bundle, **chosen)), encoding="utf-8")
        assert make_options(read_options(read_config(path))) == options


def test_every_option_is_covered_by_these_tests(toy_bundle: Bundle) -> None:
    changed = {name for options in _OPTIONS for name in options}
    assert changed == set(DEFAULTS)


def test_the_default_queue_has_no_policy_that_causes_pauses(toy_bundle: Bundle) -> None:
    batching = _config(toy_bundle).dynamic_batching
    assert batching.default_queue_policy == model_config_pb2.ModelQueuePolicy()
    assert batching.priority_levels == 0
    assert _config(toy_bundle, max_queue_size=7).dynamic_batching.default_queue_policy.max_queue_size == 7


def _cuda(config: Any) -> dict[str, str] | None:
    """Return the parameters of the accelerator cuda, or None."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return next((dict(each.parameters) for each in accelerators if each.name == "cuda"), None)


@pytest.mark.parametrize("accelerator", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({}, {"use_tf32": "0"}),
        ({"gpu_math": "tf32"}, {"use_tf32": "1"}),
        ({"gpu_math": "unset"}, None),
        ({"prefer_nhwc": True}, {"use_tf32": "0", "prefer_nhwc": "1"}),
        ({"gpu_math": "unset", "fuse_conv_bias": False}, {"fuse_conv_bias": "0"}),
        (_ARITHMETIC, {"use_tf32": "1", "prefer_nhwc": "1", "fuse_conv_bias": "1"}),
    ],
)
def test_the_arithmetic_of_a_gpu_is_stored_in_its_accelerator(
    toy_bundle: Bundle, accelerator: str, options: dict[str, Any], stored: dict[str, str] | None
) -> None:
    config = _config(toy_bundle, accelerator=accelerator, **options)
    assert _cuda(config) == stored
    assert not {"use_tf32", "prefer_nhwc", "fuse_conv_bias"} & set(config.parameters)


@pytest.mark.parametrize("accelerator", ["none", "tensorrt", "openvino"])
def test_other_accelerators_have_no_arithmetic_of_cuda(toy_bundle: Bundle, accelerator: str) -> None:
    assert _cuda(_config(toy_bundle, accelerator=accelerator)) is None


def test_only_automatic_selection_may_fall_back_to_the_cpu(toy_bundle: Bundle) -> None:
    stored = {
        accelerator: _config(toy_bundle, accelerator=accelerator).parameters["cpu_fallback"].string_value
        for accelerator in ACCELERATORS
    }
    assert stored == {"auto": "1", "none": "", "cuda": "", "tensorrt": "", "openvino": ""}
    assert _config(toy_bundle, cpu_fallback=False).parameters["cpu_fallback"].string_value == "0"


@pytest.mark.parametrize(
    ("sizes", "stored"), [("auto", ""), ((), "none"), ((1,), "1,8"), ((8, 1, 4), "1,4,8"), ((8,), "8")]
)
def test_fixed_batch_sizes_are_a_parameter_of_the_model(toy_bundle: Bundle, sizes: Any, stored: str) -> None:
    assert _config(toy_bundle, batch_sizes=sizes).parameters["batch_sizes"].string_value == stored


@pytest.mark.parametrize("value", [None, True, False])
def test_cuda_graphs_are_a_parameter_of_the_model(toy_bundle: Bundle, value: bool | None) -> None:
    config = _config(toy_bundle, cuda_graphs=value)
    assert ("cuda_graphs" in config.parameters) == (value is not None)
    assert config.parameters["cuda_graphs"].string_value == {None: "", True: "1", False: "0"}[value]
    assert _cuda(config) == {"use_tf32": "0"}


def test_the_tensorflow_backend_gets_no_accelerator_that_it_refuses(toy_bundle: Bundle) -> None:
    options = make_options({"accelerator": "cuda", "gpu_math": "tf32"})
    config = build_config(toy_bundle.contract, toy_bundle.labels, options, backend="tensorflow")
    assert _cuda(config) is None
    assert config.parameters["use_tf32"].string_value == "1"
    assert make_options(read_options(config)) == options


@pytest.mark.parametrize(("text", "expected"), [("False", "float32"), ("true", "tf32"), ("0", "float32")])
def test_hand_written_values_of_onnx_runtime_are_read(toy_bundle: Bundle, text: str, expected: str) -> None:
    config = _config(toy_bundle)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    accelerator.parameters["use_tf32"] = text
    assert read_options(config)["gpu_math"] == expected


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_models_of_earlier_versions_read_back_unchanged(toy_bundle: Bundle, accelerator: str) -> None:
    earlier = _config(toy_bundle, accelerator=accelerator)
    earlier.parameters.pop("cpu_fallback", None)
    if accelerator in ("auto", "cuda"):
        earlier.ClearField("optimization")
    options = make_options(read_options(earlier))
    assert make_options(read_options(build_config(toy_bundle.contract, toy_bundle.labels, options))) == options
    again = update_config(earlier, toy_bundle.contract, toy_bundle.labels, {})
    assert again == earlier
    if accelerator == "auto":
        changes = {"gpu_math": "float32", "cpu_fallback": True}
        assert update_config(earlier, toy_bundle.contract, toy_bundle.labels, changes) == _config(toy_bundle)


def test_edits_beside_the_arithmetic_are_kept(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle)
    config.optimization.graph.level = 1
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    accelerator.parameters["cudnn_conv1d_pad_to_nc1d"] = "1"
    changed = update_config(config, toy_bundle.contract, toy_bundle.labels, {"gpu_math": "tf32", "prefer_nhwc": True})
    assert changed.optimization.graph.level == 1
    assert _cuda(changed) == {"use_tf32": "1", "prefer_nhwc": "1", "cudnn_conv1d_pad_to_nc1d": "1"}
    on_cpu = update_config(changed, toy_bundle.contract, toy_bundle.labels, {"accelerator": "none"})
    assert on_cpu.optimization.graph.level == 1
    assert _cuda(on_cpu) is None
    by_hand = update_config(on_cpu, toy_bundle.contract, toy_bundle.labels, {"accelerator": "cuda"})
    assert _cuda(by_hand) == {"use_tf32": "0"}


def test_the_cpu_leaves_no_empty_part_behind(toy_bundle: Bundle) -> None:
    changed = update_config(_config(toy_bundle), toy_bundle.contract, toy_bundle.labels, {"accelerator": "none"})
    assert changed == _config(toy_bundle, accelerator="none")
    assert not changed.HasField("optimization")


def test_some_cuda_options_are_stored_as_parameters_of_the_model(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, accelerator="cuda", **_CUDA)
    assert _cuda(config) == {"use_tf32": "0"}
    written = {name: config.parameters[name].string_value for name in _CUDA}
    assert written == {
        "cudnn_conv_algo_search": "1",
        "gpu_mem_limit": str(2**33),
        "arena_extend_strategy": "1",
        "do_copy_in_default_stream": "0",
    }


def test_tensorrt_options_have_the_names_of_the_backend(toy_bundle: Bundle) -> None:
    config = build_config(toy_bundle.contract, toy_bundle.labels, make_options(_TENSORRT), digest="0123456789abcdef7")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert dict(accelerator.parameters) == {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": str(2**32),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/cache",
        "trt_engine_cache_prefix": "toy-0123456789abcdef",
        "trt_timing_cache_enable": "0",
        "trt_timing_cache_path": "/cache",
        "trt_profile_min_shapes": "image:1x8x8x3",
        "trt_profile_opt_shapes": "image:4x8x8x3",
        "trt_profile_max_shapes": "image:8x8x8x3",
    }
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 4, 8]


def test_each_version_has_its_own_engines(toy_bundle: Bundle) -> None:
    options = ServingOptions(accelerator=TensorRT())
    first = build_config(toy_bundle.contract, toy_bundle.labels, options, digest="a" * 64)
    for changes in ({}, {"max_batch_size": 4}):
        second = update_config(first, toy_bundle.contract, toy_bundle.labels, changes, digest="b" * 64)
        (accelerator,) = second.optimization.execution_accelerators.gpu_execution_accelerator
        assert accelerator.parameters["trt_engine_cache_prefix"] == f"toy-{'b' * 16}"


def test_thread_options_have_the_names_of_the_tensorflow_backend(toy_bundle: Bundle) -> None:
    options = ServingOptions(threads=2, inter_threads=3)
    config = build_config(toy_bundle.contract, toy_bundle.labels, options, backend="tensorflow")
    assert (config.backend, config.default_model_filename) == ("tensorflow", "model.savedmodel")
    assert config.parameters["TF_NUM_INTRA_THREADS"].string_value == "2"
    assert config.parameters["TF_NUM_INTER_THREADS"].string_value == "3"
    assert make_options(read_options(config)) == options


@pytest.mark.parametrize(
    ("options", "model", "hint"),
    [
        ({"accelerator": "tensorrt", "tensorrt_precision": "int8"}, {"precision": "fp32"}, "--precision int8"),
        ({"accelerator": "tensorrt"}, {"precision": "int8"}, "tensorrt_precision int8"),
        ({"accelerator": "tensorrt"}, {"backend": "tensorflow"}, "onnxruntime"),
        ({"accelerator": "openvino"}, {"backend": "tensorflow"}, "onnxruntime"),
        ({"gpu_mem_limit": 2**30}, {"backend": "tensorflow"}, "onnxruntime"),
        ({"prefer_nhwc": True}, {"backend": "tensorflow"}, "--set prefer_nhwc=none"),
        (
            {"batch_sizes": (1, 8), "cudnn_conv_algo_search": "heuristic"},
            {"backend": "tensorflow"},
            "--set cudnn_conv_algo_search=none --set batch_sizes=auto",
        ),
        ({"accelerator": "cuda"}, {"precision": "int8"}, "--preset tensorrt or --accelerator none"),
        ({"prefer_nhwc": True}, {"precision": "int8"}, "Leave it out"),
    ],
)
def test_options_that_do_not_suit_the_model_are_rejected(
    toy_bundle: Bundle, options: dict[str, Any], model: dict[str, Any], hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build_config(toy_bundle.contract, toy_bundle.labels, make_options(options), **model)
    assert hint in str(caught.value.hint)
    current = _config(toy_bundle)
    with pytest.raises(UsageError):
        update_config(current, toy_bundle.contract, toy_bundle.labels, options, **model)


def test_an_int8_model_that_is_on_cuda_can_be_rolled_back(toy_bundle: Bundle) -> None:
    earlier = _config(toy_bundle, accelerator="cuda")
    assert update_config(earlier, toy_bundle.contract, toy_bundle.labels, {}, precision="int8") == earlier
    with pytest.raises(UsageError, match="does not suit accelerator cuda"):
        update_config(earlier, toy_bundle.contract, toy_bundle.labels, {"accelerator": "cuda"}, precision="int8")


def _by_hand(toy_bundle: Bundle) -> Any:
    config = _config(toy_bundle, threads=2, max_batch_size=4)
    config.parameters["enable_mem_arena"].string_value = "0"
    config.optimization.graph.level = 1
    config.model_warmup[0].count = 20
    return config


def test_manual_edits_are_kept_when_other_options_change(toy_bundle: Bundle) -> None:
    config = update_config(_by_hand(toy_bundle), toy_bundle.contract, toy_bundle.labels, {"threads": 3})
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    expected = _by_hand(toy_bundle)
    expected.parameters["intra_op_thread_count"].string_value = "3"
    assert config == expected


def test_a_part_that_an_option_changes_is_rewritten(toy_bundle: Bundle) -> None:
    changes = {"max_batch_size": 8, "threads": None}
    config = update_config(_by_hand(toy_bundle), toy_bundle.contract, toy_bundle.labels, changes)
    assert [(warmup.batch_size, warmup.count) for warmup in config.model_warmup] == [(1, 1), (8, 1)]
    assert "intra_op_thread_count" not in config.parameters
    assert config.parameters["enable_mem_arena"].string_value == "0"
    assert config.optimization.graph.level == 1


def test_an_invalid_configuration_is_repaired_by_new_options(toy_bundle: Bundle) -> None:
    broken = _config(toy_bundle)
    broken.max_batch_size = 0
    with pytest.raises(UsageError, match="max_batch_size"):
        update_config(broken, toy_bundle.contract, toy_bundle.labels, {"threads": 2})
    repaired = update_config(broken, toy_bundle.contract, toy_bundle.labels, {"max_batch_size": 8})
    assert repaired == _config(toy_bundle)


def test_triton_accepts_every_option_for_a_cpu(toy_bundle: Bundle, tmp_path: Path) -> None:
    options = {
        "preferred_batch_sizes": (2, 4),
        "queue_timeout_us": 30_000_000,
        "queue_timeout_action": "continue",
        "queue_timeout_override": True,
        **_LEVELS,
        **_CUDA,
        **_ARITHMETIC,
        "batch_sizes": (1, 4),
        "instances": 2,
        "threads": 1,
        "inter_threads": 1,
        "response_cache": True,
        "versions": (1,),
        "rate_limiter_resources": _RESOURCES,
        "rate_limiter_priority": 2,
    }
    write_model_folder(tmp_path / "repository", toy_bundle, toy_config(toy_bundle, options=options))
    with DisposableServer(tmp_path / "repository") as server:
        assert server.grpc_url
