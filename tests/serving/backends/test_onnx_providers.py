"""The execution providers that a configuration requests."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.onnx_providers import requested_providers
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError


def _config(optimization: dict[str, Any] | None = None, /, **parameters: str) -> dict[str, Any]:
    values = {name.replace("__", "."): {"string_value": value} for name, value in parameters.items()}
    return {"parameters": values, "optimization": optimization or {}}


def _accelerated(kind: str, name: str, **parameters: str) -> dict[str, Any]:
    accelerator = {"name": name, "parameters": parameters}
    return {"execution_accelerators": {f"{kind}_execution_accelerator": [accelerator]}}


def test_a_cpu_instance_uses_only_the_cpu() -> None:
    assert requested_providers(_config(), kind="CPU", device="0") == ()
    assert requested_providers(_config(_accelerated("gpu", "tensorrt")), kind="CPU", device="0") == ()


def test_a_gpu_instance_uses_its_gpu() -> None:
    ((name, options),) = requested_providers(_config(), kind="GPU", device="3")
    assert name == "CUDAExecutionProvider"
    assert options == {
        "use_tf32": "0",
        "device_id": "3",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "gpu_mem_limit": "18446744073709551615",
        "arena_extend_strategy": "kNextPowerOfTwo",
        "do_copy_in_default_stream": "1",
    }
    options_set = _config(
        cudnn_conv_algo_search="1", gpu_mem_limit="1073741824", arena_extend_strategy="1", do_copy_in_default_stream="0"
    )
    ((_, options),) = requested_providers(options_set, kind="GPU", device="0")
    assert options == {
        "use_tf32": "0",
        "device_id": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "gpu_mem_limit": "1073741824",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "0",
    }


def test_top_level_cuda_options_take_precedence() -> None:
    accelerator = _accelerated("gpu", "cuda", cudnn_conv_algo_search="DEFAULT", cudnn_conv_use_max_workspace="0")
    ((_, options),) = requested_providers(_config(accelerator), kind="GPU", device="0")
    assert options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert options["cudnn_conv_use_max_workspace"] == "0"


@pytest.mark.parametrize("value", ["0", "1"])
def test_tf32_can_be_chosen(value: str) -> None:
    ((_, options),) = requested_providers(_config(_accelerated("gpu", "cuda", use_tf32=value)), kind="GPU", device="0")
    assert options["use_tf32"] == value


def test_graphs_are_refused_as_an_option_of_the_accelerator() -> None:
    with pytest.raises(ModelRefusedError, match=r"enable_cuda_graph of the accelerator cuda .* --set cuda_graphs=on"):
        requested_providers(_config(_accelerated("gpu", "cuda", enable_cuda_graph="1")), kind="GPU", device="0")
    assert requested_providers(_config(_accelerated("gpu", "cuda", enable_cuda_graph="0")), kind="GPU", device="0")


def test_tensorrt_precedes_cuda() -> None:
    accelerator = _accelerated(
        "gpu",
        "tensorrt",
        precision_mode="FP16",
        max_workspace_size_bytes="1073741824",
        trt_engine_cache_enable="1",
        trt_profile_min_shapes="image:1x224x224x3",
    )
    first, second = requested_providers(_config(accelerator), kind="GPU", device="1")
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
    assert second[0] == "CUDAExecutionProvider"


def test_openvino_is_requested_for_the_cpu() -> None:
    requested = requested_providers(_config(_accelerated("cpu", "openvino")), kind="CPU", device="0")
    assert requested == (("OpenVINOExecutionProvider", {"device_type": "CPU"}),)


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
        requested_providers(_config(optimization), kind=kind, device="0")


@pytest.mark.parametrize("parameters", [{"cudnn_conv_algo_search": "3"}, {"arena_extend_strategy": "2"}])
def test_a_cuda_option_out_of_range_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ModelRefusedError, match="must be one of 0, 1"):
        requested_providers(_config(**parameters), kind="GPU", device="0")
