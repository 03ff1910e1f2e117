"""Triton's model configuration: built as the protobuf message, printed and read by protobuf's own text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.bundle import LABELS_NAME, ONNX_NAME
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract, TensorSpec
from camserve.errors import RepositoryError, UsageError
from camserve.serving.config.accelerators import name_engines, read_accelerators, write_accelerators
from camserve.serving.config.batching import read_batching, write_batching
from camserve.serving.config.changes import DEFAULTS, changed_options, make_options
from camserve.serving.config.choices import Backend
from camserve.serving.config.instances import backend_of, read_instances, write_instances
from camserve.serving.config.merging import merge_changes
from camserve.serving.config.pinning import unpinned
from camserve.serving.config.readiness import read_readiness, write_readiness
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.config.suitability import check_suitable

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
MODEL_FILES: Mapping[Backend, str] = {"onnxruntime": ONNX_NAME, "tensorflow": "model.savedmodel"}
"""What a version folder holds for a backend."""


def build_config(
    contract: ModelContract,
    labels: Sequence[str],
    options: ServingOptions,
    *,
    backend: Backend = BACKEND,
    precision: str = "fp32",
    digest: str = "",
) -> Any:
    """The `ModelConfig` message of a model.

    Nothing is left to Triton's defaults that would change an answer or its cost: the batch is 4, a queue has no bound
    and a CPU gets two instances, each with every core, where the configuration is silent.

    Law: `ServingOptions(**read_options(build_config(…, options))) == options`.

    Args:
        contract: Under the name that the model is published by.
        labels: One per class.
        options: How to serve it.
        backend: Which of Triton's backends runs it.
        precision: Of the model's file: `fp32`, `fp16` or `int8`.
        digest: SHA-256 of the model's file, by which TensorRT's cache tells versions apart.

    Raises:
        UsageError: If the options do not suit the backend or the precision.
    """
    config = _build(contract, options, backend)
    check_suitable(read_options(config), backend=backend, precision=precision)
    _identify(config, contract, labels, digest)
    return config


def update_config(
    standing: Any,
    contract: ModelContract,
    labels: Sequence[str],
    changes: ServingOptions | Mapping[str, Any],
    *,
    backend: Backend = BACKEND,
    precision: str = "fp32",
    digest: str = "",
) -> Any:
    """The `ModelConfig` message of a model that stands already.

    Given by name, options change only the parts that they are written in; what someone wrote by hand elsewhere stays.

    Args:
        standing: Its message so far.
        contract: Under the name that the model is published by.
        labels: One per class.
        changes: All options anew, or by name those that change.
        backend: As for `build_config`.
        precision: Likewise.
        digest: Likewise.

    Raises:
        UsageError: If an option is out of range, or does not suit what stands, the backend or the precision.
    """
    if isinstance(changes, ServingOptions):
        return build_config(contract, labels, changes, backend=backend, precision=precision, digest=digest)
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(standing)
    if changes or standing.backend != backend:
        after = _build(contract, changed_options(read_options(standing), changes), backend)
        before = _standing(standing, contract)
        if before is None:
            config = after
        else:
            merge_changes(config, before, after)
    check_suitable(read_options(config), backend=backend, precision=precision)
    _identify(config, contract, labels, digest)
    return config


def read_options(config: Any) -> dict[str, Any]:
    """The options by which a configuration was built, all of them, by name; of a pinned one, as they were wished."""
    config = unpinned(config)
    parts = (read_batching(config), read_instances(config), read_accelerators(config), read_readiness(config))
    return {**DEFAULTS, **{name: value for part in parts for name, value in part.items()}}


def render_config(config: Any) -> str:
    """The message as it stands in `config.pbtxt`."""
    return str(text_format.MessageToString(config, as_utf8=True))


def read_config(path: Path) -> Any:
    """Read a `config.pbtxt` and return its `ModelConfig` message.

    Raises:
        RepositoryError: If the file cannot be read or is not a model configuration.
    """
    try:
        text = path.read_text(encoding="utf-8")
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
        f"{path} is not a readable Triton model configuration: {error}",
        hint="Correct it, or move the folder out of the repository and publish the model again",
    )


def _build(contract: ModelContract, options: ServingOptions, backend: Backend) -> Any:
    """The message but for what is the version's own: contract, labels and the prefix of its engines."""
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
    return config


def _standing(config: Any, contract: ModelContract) -> Any | None:
    """What would have been written by the options that stand, or None where someone wrote what no options say."""
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
    # Lets any Triton client ask for named classes through the classification extension.
    if spec.dtype == "FP32" and spec.shape == (contract.classes,):
        output.label_filename = LABELS_NAME
    return output
