"""Triton's model configuration: built as the protobuf message, printed and read by protobuf's own text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.bundle import LABELS_NAME, ONNX_NAME
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, TensorSpec
from camserve.errors import RepositoryError
from camserve.serving.config.options import Accelerator, ServingOptions

__all__ = ["BACKEND", "CONFIG_NAME", "build_config", "read_config", "read_options", "render_config", "update_config"]

CONFIG_NAME = "config.pbtxt"
BACKEND = "onnxruntime"
_THREADS = "intra_op_thread_count"

_KINDS: Mapping[Accelerator, str] = {
    "auto": "KIND_AUTO",
    "none": "KIND_CPU",
    "cuda": "KIND_GPU",
    "tensorrt": "KIND_GPU",
    "openvino": "KIND_CPU",
}


def build_config(contract: ModelContract, labels: Sequence[str], options: ServingOptions) -> Any:
    """The `ModelConfig` message of a model.

    Nothing is left to Triton's defaults that would change an answer or its cost: the batch is 4 and a CPU gets two
    instances, each with every core, where the configuration is silent.

    Args:
        contract: Under the name that the model is published by.
        labels: One per class.
        options: How to serve it.
    """
    config = model_config_pb2.ModelConfig(
        name=contract.name,
        backend=BACKEND,
        default_model_filename=ONNX_NAME,
        max_batch_size=options.max_batch_size,
        input=[_tensor(model_config_pb2.ModelInput, contract.input)],
        output=[_output(contract, spec) for spec in contract.outputs],
    )
    config.version_policy.latest.num_versions = options.latest_versions
    config.instance_group.add(
        count=options.instances, kind=_enum("ModelInstanceGroup.Kind", _KINDS[options.accelerator])
    )
    config.dynamic_batching.max_queue_delay_microseconds = options.max_queue_delay_us
    _identify(config, contract, labels)
    if options.threads is not None:
        config.parameters[_THREADS].string_value = str(options.threads)
    _accelerate(config, contract.input, options)
    if options.warmup:
        config.model_warmup.extend(_warmup(contract.input, size) for size in sorted({1, options.max_batch_size}))
    return config


def update_config(
    standing: Any, contract: ModelContract, labels: Sequence[str], changes: ServingOptions | Mapping[str, Any]
) -> Any:
    """The `ModelConfig` message of a model that stands already.

    Without changes it stays as it is but for contract and labels; what someone wrote into it by hand stays too.

    Args:
        standing: Its message so far.
        contract: Under the name that the model is published by.
        labels: One per class.
        changes: All options anew, or by name those that change.

    Raises:
        UsageError: If an option is out of range.
    """
    if isinstance(changes, ServingOptions):
        return build_config(contract, labels, changes)
    if changes:
        return build_config(contract, labels, ServingOptions(**{**read_options(standing), **changes}))
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(standing)
    _identify(config, contract, labels)
    return config


def read_options(config: Any) -> dict[str, Any]:
    """The options by which a configuration was built: `ServingOptions(**read_options(build_config(…, o))) == o`."""
    threads = config.parameters[_THREADS].string_value if _THREADS in config.parameters else ""
    return {
        "max_batch_size": config.max_batch_size,
        "max_queue_delay_us": config.dynamic_batching.max_queue_delay_microseconds,
        "instances": config.instance_group[0].count if config.instance_group else 1,
        "threads": int(threads) if threads.isdecimal() else None,
        "accelerator": _accelerator(config),
        "warmup": bool(config.model_warmup),
        "latest_versions": max(1, config.version_policy.latest.num_versions),
    }


def render_config(config: Any) -> str:
    """The message as it stands in `config.pbtxt`."""
    return str(text_format.MessageToString(config, as_utf8=True))


def read_config(path: Path) -> Any:
    """Reads a `config.pbtxt`.

    Raises:
        RepositoryError: If it cannot be read or is no model configuration.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise RepositoryError(
            f"{path} is not a readable Triton model configuration: {error}",
            hint="Correct it, or move the folder out of the repository and publish the model again",
        ) from error


def _identify(config: Any, contract: ModelContract, labels: Sequence[str]) -> None:
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[LABELS_PARAMETER].string_value = "\n".join(labels)


def _accelerator(config: Any) -> Accelerator:
    accelerators = config.optimization.execution_accelerators
    if any(each.name == "tensorrt" for each in accelerators.gpu_execution_accelerator):
        return "tensorrt"
    if any(each.name == "openvino" for each in accelerators.cpu_execution_accelerator):
        return "openvino"
    kind = config.instance_group[0].kind if config.instance_group else _enum("ModelInstanceGroup.Kind", "KIND_AUTO")
    plain: tuple[Accelerator, ...] = ("auto", "none", "cuda")
    return next((name for name in plain if kind == _enum("ModelInstanceGroup.Kind", _KINDS[name])), "auto")


def _tensor(message: Any, spec: TensorSpec) -> Any:
    return message(name=spec.name, data_type=f"TYPE_{spec.dtype}", dims=spec.shape)


def _output(contract: ModelContract, spec: TensorSpec) -> Any:
    output = _tensor(model_config_pb2.ModelOutput, spec)
    # Lets any Triton client ask for named classes through the classification extension.
    if spec.dtype == "FP32" and spec.shape == (contract.classes,):
        output.label_filename = LABELS_NAME
    return output


def _accelerate(config: Any, image: TensorSpec, options: ServingOptions) -> None:
    accelerators = config.optimization.execution_accelerators
    if options.accelerator == "openvino":
        accelerators.cpu_execution_accelerator.add(name="openvino")
    if options.accelerator == "tensorrt":
        # Without a profile of the whole range TensorRT builds a new engine for every batch size that it meets.
        sizes = {"min": 1, "opt": options.max_batch_size, "max": options.max_batch_size}
        shape = "x".join(str(side) for side in image.shape)
        profiles = {f"trt_profile_{which}_shapes": f"{image.name}:{size}x{shape}" for which, size in sizes.items()}
        accelerators.gpu_execution_accelerator.add(name="tensorrt", parameters=profiles)


def _warmup(image: TensorSpec, batch_size: int) -> Any:
    warmup = model_config_pb2.ModelWarmup(name=f"batch of {batch_size}", batch_size=batch_size, count=1)
    warmup.inputs[image.name].data_type = _enum("DataType", f"TYPE_{image.dtype}")
    warmup.inputs[image.name].dims.extend(image.shape)
    warmup.inputs[image.name].random_data = True
    return warmup


def _enum(path: str, name: str) -> int:
    holder: Any = model_config_pb2
    for part in path.split("."):
        holder = getattr(holder, part)
    return int(holder.Value(name))
