"""The options about image files in a model's configuration, and the configuration of the model that takes them."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.serving_options import ServingOptions
from camserve.tensors import CAM, CAM_CLASS, PROBABILITIES

__all__ = [
    "CODE_NAME",
    "file_config",
    "file_model_name",
    "file_model_of",
    "read_image_files",
    "write_image_files",
]

CODE_NAME = "image_files.zip"
"""Archive in a version's folder with the code that decodes and preprocesses image files for it."""

_INSTANCES = "camserve.image_files"
_MODEL = "camserve.image_files_of"  # as in camserve.serving.backends.image_files.model, which cannot be imported
_SUFFIX = "_file"
_MAPS = (CAM, CAM_CLASS)


def write_image_files(config: Any, options: ServingOptions) -> None:
    """Write the options into the message."""
    if options.image_files:
        config.parameters[_INSTANCES].string_value = str(options.image_file_instances)


def read_image_files(config: Any) -> dict[str, Any]:
    """Return the options that `write_image_files` wrote, by name."""
    text = config.parameters[_INSTANCES].string_value if _INSTANCES in config.parameters else ""
    return {"image_files": True, "image_file_instances": int(text)} if text.isdecimal() and int(text) else {}


def file_model_name(model: str) -> str:
    """Return the name of the model that takes image files for a model."""
    return model + _SUFFIX


def file_model_of(config: Any) -> str | None:
    """Return the model for which a model takes image files; None if it is not such a model."""
    return str(config.parameters[_MODEL].string_value) if _MODEL in config.parameters else None


def file_config(config: Any) -> Any | None:
    """Build the `ModelConfig` message of the model that takes image files for a model.

    Args:
        config: The message of that model.

    Returns:
        The message; None if that model is published without image files.
    """
    options = read_image_files(config)
    if not options:
        return None
    outputs = {output.name: output for output in config.output}
    built = model_config_pb2.ModelConfig(
        name=file_model_name(config.name),
        backend="python",
        max_batch_size=config.max_batch_size,
        input=[model_config_pb2.ModelInput(name="image_file", data_type="TYPE_STRING", dims=[1])],
        output=[
            _output("label", "TYPE_STRING", [-1]),
            _output("probability", "TYPE_FP32", [-1]),
            _output("index", "TYPE_INT32", [-1]),
            _output("version", "TYPE_INT64", [1]),
            _output(PROBABILITIES, "TYPE_FP32", _classes(outputs)),
        ],
    )
    if CAM in outputs:
        built.output.extend(_output(name, outputs[name].data_type, [-1, *outputs[name].dims[1:]]) for name in _MAPS)
        built.output.append(_output("overlay", "TYPE_STRING", [1]))
    built.instance_group.add(count=options["image_file_instances"], kind="KIND_CPU")
    built.dynamic_batching.SetInParent()
    built.parameters[_MODEL].string_value = config.name
    return built


def _classes(outputs: Any) -> list[int]:
    return list(outputs[PROBABILITIES if PROBABILITIES in outputs else "logits"].dims)


def _output(name: str, data_type: Any, dims: Any) -> Any:
    return model_config_pb2.ModelOutput(name=name, data_type=data_type, dims=dims)
