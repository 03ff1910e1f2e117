"""Triton's model configuration: built as a protobuf message, printed and parsed in protobuf's text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.bundle import LABELS_NAME, ONNX_NAME
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, TensorSpec
from camserve.errors import RepositoryError, UsageError
from camserve.regular_file import read_regular_file
from camserve.serving.config.accelerators import name_engines, read_accelerators, write_accelerators
from camserve.serving.config.backends import Backend, backend_of
from camserve.serving.config.batching import read_batching, write_batching
from camserve.serving.config.image_files import read_image_files, write_image_files
from camserve.serving.config.instances import read_instances, write_instances
from camserve.serving.config.merging import merge_changes
from camserve.serving.config.named_options import DEFAULTS, changed_options, make_options
from camserve.serving.config.openvino import pin_precision, write_openvino
from camserve.serving.config.pinning import unpinned
from camserve.serving.config.readiness import read_readiness, write_readiness
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.config.suitability import check_suitable, for_backend

__all__ = [
    "BACKEND",
    "CONFIG_NAME",
    "MODEL_FILES",
    "build_config",
    "parse_config",
    "read_config",
    "read_options",
    "render_config",
    "update_config",
]

CONFIG_NAME = "config.pbtxt"
BACKEND: Backend = "onnxruntime"
MODEL_FILES: Mapping[Backend, str] = {
    "onnxruntime": ONNX_NAME,
    "tensorflow": "model.savedmodel",
    "openvino": ONNX_NAME,
}
"""By backend, the name of the model file in a version folder."""


def build_config(
    contract: ModelContract,
    labels: Sequence[str],
    options: ServingOptions,
    *,
    backend: Backend = BACKEND,
    precision: str = "fp32",
    digest: str = "",
) -> Any:
    """Build the `ModelConfig` message of a model.

    It sets every value whose default in Triton would change a prediction or its cost: the batch size (4), the limit of
    the queue (none), and the instances on a CPU (2, each with all cores).

    `make_options(read_options(build_config(…, options))) == options`.

    Args:
        contract: With the name that the model is published under.
        labels: One per class.
        options: How Triton serves it.
        backend: Triton's backend that runs it.
        precision: Precision of the model's file: `fp32`, `fp16`, `bf16` or `int8`.
        digest: SHA-256 of the model's file, by which TensorRT's cache tells versions apart.

    Raises:
        UsageError: If the options do not suit the backend or the precision.
    """
    config = _build(contract, options, backend)
    check_suitable(read_options(config), backend=backend, precision=precision)
    _identify(config, contract, labels, digest)
    pin_precision(config, backend, precision)
    return config


def update_config(
    current: Any,
    contract: ModelContract,
    labels: Sequence[str],
    changes: ServingOptions | Mapping[str, Any],
    *,
    backend: Backend = BACKEND,
    precision: str = "fp32",
    digest: str = "",
) -> Any:
    """Build the `ModelConfig` message of a new version of a published model.

    Changes by name affect only the parts of the message in which these options are stored; manual edits elsewhere are
    kept.

    Args:
        current: The model's message.
        contract: With the name that the model is published under.
        labels: One per class.
        changes: All options, or by name those that change.
        backend: As for `build_config`.
        precision: As for `build_config`.
        digest: As for `build_config`.

    Raises:
        UsageError: If an option is invalid, or does not suit the other options, the backend or the precision.
    """
    if isinstance(changes, ServingOptions):
        return build_config(contract, labels, changes, backend=backend, precision=precision, digest=digest)
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(current)
    if changes or current.backend != backend:
        options = read_options(current)
        after = _build(contract, changed_options(options, for_backend(backend, options, changes)), backend)
        before = _rebuilt(current, contract)
        if before is None:
            config = after
        else:
            merge_changes(config, before, after)
    check_suitable(read_options(config), backend=backend, precision=precision, chosen=changes)
    _identify(config, contract, labels, digest)
    pin_precision(config, backend, precision)
    return config


def read_options(config: Any) -> dict[str, Any]:
    """Return all options of a configuration by name; those of a pinned one as requested."""
    config = unpinned(config)
    instances = read_instances(config)
    parts = (
        read_batching(config),
        read_accelerators(config, instances["accelerator"]),
        read_readiness(config),
        read_image_files(config),
    )
    return {**DEFAULTS, **instances, **{name: value for part in parts for name, value in part.items()}}


def render_config(config: Any) -> str:
    """Return the message as the text of `config.pbtxt`."""
    return str(text_format.MessageToString(config, as_utf8=True))


def read_config(path: Path) -> Any:
    """Read a `config.pbtxt` and return its `ModelConfig` message.

    Raises:
        RepositoryError: If the file cannot be read or is not a model configuration.
    """
    try:
        text = read_regular_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Any:
    """Parse the text of a `config.pbtxt` and return its `ModelConfig` message.

    Args:
        text: Content of the file.
        path: The file, for the message of an error.

    Raises:
        RepositoryError: If the text is not a model configuration.
    """
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> RepositoryError:
    return RepositoryError(
        f"cannot read the model configuration {path}: {str(error).strip(' .')}",
        hint="Correct it, or move the folder out of the repository and publish the model again",
    )


def _build(contract: ModelContract, options: ServingOptions, backend: Backend) -> Any:
    """Build the message without the values of a version: contract, labels and the prefix of its engines."""
    config = model_config_pb2.ModelConfig(
        name=contract.name,
        backend=backend,
        default_model_filename=MODEL_FILES[backend],
        input=[_tensor(model_config_pb2.ModelInput, contract.input)],
        output=[_output(contract, spec) for spec in contract.outputs],
    )
    write_batching(config, options)
    write_instances(config, options, backend)
    write_accelerators(config, options, contract.input)
    write_readiness(config, options, contract.input)
    if backend == "openvino":
        write_openvino(config)
    write_image_files(config, options)
    return config


def _rebuilt(config: Any, contract: ModelContract) -> Any | None:
    """Build a configuration from its own options; None if manual edits made them invalid."""
    try:
        options = make_options(read_options(config))
    except UsageError:
        return None
    return _build(contract, options, backend_of(config))


def _identify(config: Any, contract: ModelContract, labels: Sequence[str], digest: str) -> None:
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[LABELS_PARAMETER].string_value = "\n".join(labels)
    if digest:
        name_engines(config, contract.name, digest)


def _tensor(message: Any, spec: TensorSpec) -> Any:
    return message(name=spec.name, data_type=f"TYPE_{spec.dtype}", dims=spec.shape)


def _output(contract: ModelContract, spec: TensorSpec) -> Any:
    output = _tensor(model_config_pb2.ModelOutput, spec)
    # Any Triton client can request labels by the classification extension.
    if spec.dtype == "FP32" and spec.shape == (contract.classes,):
        output.label_filename = LABELS_NAME
    return output
