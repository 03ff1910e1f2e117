"""ONNX Runtime settings of a configuration."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.onnx_settings import choose_providers, data_type, session_settings
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

EVERY = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider")
CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})


def _config(optimization: dict[str, Any] | None = None, /, **parameters: str) -> dict[str, Any]:
    values = {name.replace("__", "."): {"string_value": value} for name, value in parameters.items()}
    return {"parameters": values, "optimization": optimization or {}}


def _accelerated(kind: str, name: str, **parameters: str) -> dict[str, Any]:
    accelerator = {"name": name, "parameters": parameters}
    return {"execution_accelerators": {f"{kind}_execution_accelerator": [accelerator]}}


def test_the_defaults_are_those_of_onnx_runtime() -> None:
    settings = session_settings({})
    assert (settings.graph_level, settings.execution_mode) == ("ORT_ENABLE_ALL", "ORT_SEQUENTIAL")
    assert (settings.intra_op_threads, settings.inter_op_threads) == (0, 0)
    assert (settings.memory_arena, settings.memory_pattern, dict(settings.run_entries)) == (None, None, {})
    assert settings.warnings == ()


def test_threads_do_not_spin() -> None:
    assert session_settings({}).entries["session.intra_op.allow_spinning"] == "0"


@pytest.mark.parametrize(
    ("level", "name"),
    [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")],
)
def test_graph_levels_are_those_of_the_compiled_backend(level: int, name: str) -> None:
    assert session_settings(_config({"graph": {"level": level}})).graph_level == name


def test_parameters_are_those_of_the_compiled_backend() -> None:
    settings = session_settings(
        _config(
            intra_op_thread_count="3",
            inter_op_thread_count="-1",
            execution_mode="1",
            enable_mem_arena="FALSE",
            enable_mem_pattern="1",
            session__use_device_allocator_for_initializers="1",
            memory__enable_memory_arena_shrinkage="cpu:0",
            session__disable_prepacking="1",
        )
    )
    assert (settings.intra_op_threads, settings.inter_op_threads, settings.execution_mode) == (3, 0, "ORT_PARALLEL")
    assert (settings.memory_arena, settings.memory_pattern) == (False, True)
    assert settings.entries["session.use_device_allocator_for_initializers"] == "1"
    assert settings.run_entries == {"memory.enable_memory_arena_shrinkage": "cpu:0"}
    # The compiled backend ignores other entries, so they must have no effect here.
    assert "session.disable_prepacking" not in settings.entries


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"execution_mode": "2"}, "execution_mode must be 0 or 1, got 2"),
        ({"intra_op_thread_count": "many"}, "must be an integer, got 'many'"),
        ({"enable_mem_arena": "yes"}, "must be 0 or 1, got 'yes'"),
    ],
)
def test_an_invalid_parameter_is_refused(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        session_settings(_config(**parameters))


def test_a_shared_session_is_warned_about() -> None:
    assert "its own session" in session_settings(_config(share_session_between_instances="true")).warnings[0]


def test_a_cpu_instance_uses_only_the_cpu() -> None:
    choice = choose_providers(_config(), kind="CPU", device="0", available=EVERY)
    assert (choice.providers, choice.warnings) == ((CPU,), ())
    ignored = _config(_accelerated("gpu", "tensorrt"))
    assert choose_providers(ignored, kind="CPU", device="0", available=EVERY).providers == (CPU,)


def test_a_gpu_instance_uses_its_gpu() -> None:
    choice = choose_providers(_config(), kind="GPU", device="3", available=EVERY)
    (name, options), last = choice.providers
    assert (name, last) == ("CUDAExecutionProvider", CPU)
    assert options == {
        "device_id": "3",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "gpu_mem_limit": "18446744073709551615",
        "arena_extend_strategy": "kNextPowerOfTwo",
        "do_copy_in_default_stream": "1",
    }
    options_set = _config(
        cudnn_conv_algo_search="1", gpu_mem_limit="1073741824", arena_extend_strategy="1", do_copy_in_default_stream="0"
    )
    (_, options), _ = choose_providers(options_set, kind="GPU", device="0", available=EVERY).providers
    assert options == {
        "device_id": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "gpu_mem_limit": "1073741824",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "0",
    }


def test_top_level_cuda_options_take_precedence() -> None:
    accelerator = _accelerated("gpu", "cuda", cudnn_conv_algo_search="DEFAULT", cudnn_conv_use_max_workspace="0")
    (_, options), _ = choose_providers(_config(accelerator), kind="GPU", device="0", available=EVERY).providers
    assert options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert options["cudnn_conv_use_max_workspace"] == "0"


def test_tensorrt_precedes_cuda() -> None:
    accelerator = _accelerated(
        "gpu",
        "tensorrt",
        precision_mode="FP16",
        max_workspace_size_bytes="1073741824",
        trt_engine_cache_enable="1",
        trt_profile_min_shapes="image:1x224x224x3",
    )
    first, second, last = choose_providers(_config(accelerator), kind="GPU", device="1", available=EVERY).providers
    assert first == (
        "TensorrtExecutionProvider",
        {
            "trt_fp16_enable": "1",
            "trt_max_workspace_size": "1073741824",
            "trt_engine_cache_enable": "1",
            "trt_profile_min_shapes": "image:1x224x224x3",
            "device_id": "1",
        },
    )
    assert (second[0], last) == ("CUDAExecutionProvider", CPU)


def test_openvino_is_used_if_available() -> None:
    choice = choose_providers(_config(_accelerated("cpu", "openvino")), kind="CPU", device="0", available=EVERY)
    assert choice.providers == (("OpenVINOExecutionProvider", {"device_type": "CPU"}), CPU)


@pytest.mark.parametrize(
    ("optimization", "kind", "missing"),
    [
        ({}, "GPU", ["CUDA"]),
        (_accelerated("gpu", "tensorrt"), "GPU", ["TensorRT", "CUDA"]),
        (_accelerated("cpu", "openvino"), "CPU", ["OpenVINO"]),
    ],
)
def test_missing_providers_are_warned_about(optimization: dict[str, Any], kind: str, missing: list[str]) -> None:
    choice = choose_providers(_config(optimization), kind=kind, device="0", available=(CPU[0],))
    assert choice.providers == (CPU,)
    assert choice.warnings == tuple(
        f"this onnxruntime has no {label} provider; the model runs without it" for label in missing
    )


@pytest.mark.parametrize(
    ("optimization", "kind", "message"),
    [
        (_accelerated("gpu", "auto_mixed_precision"), "GPU", "unknown execution accelerator 'auto_mixed_precision'"),
        (_accelerated("cpu", "tensorrt"), "CPU", "unknown execution accelerator 'tensorrt'"),
        (_accelerated("gpu", "tensorrt", precision_mode="FP8"), "GPU", "unknown precision_mode 'FP8'"),
        (_accelerated("gpu", "tensorrt", workspace="1"), "GPU", "unknown parameter 'workspace'"),
    ],
)
def test_unknown_accelerators_and_values_are_refused(optimization: dict[str, Any], kind: str, message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        choose_providers(_config(optimization), kind=kind, device="0", available=EVERY)


@pytest.mark.parametrize("parameters", [{"cudnn_conv_algo_search": "3"}, {"arena_extend_strategy": "2"}])
def test_a_cuda_option_out_of_range_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ModelRefusedError, match="must be one of 0, 1"):
        choose_providers(_config(**parameters), kind="GPU", device="0", available=EVERY)


def test_types_have_their_name_in_the_configuration() -> None:
    assert data_type("tensor(float)") == "TYPE_FP32"
    assert data_type("tensor(bfloat16)") == "tensor(bfloat16)"
