"""Triton's `onnxruntime` backend in Python, for a Triton without the C++ backend.

Triton uses a compiled backend if it finds one and this file otherwise, so both serve the same repository unchanged. It
runs in Triton's Python stub, together with the folder `camserve_backend`, and needs only numpy and onnxruntime. It has
the same parameters as the C++ backend and refuses to load the same configurations.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

if TYPE_CHECKING:
    from camserve.serving.backends.camserve_backend.declared_tensors import Tensor
    from camserve.serving.backends.camserve_backend.instance import Instance, version_file
    from camserve.serving.backends.camserve_backend.onnx_settings import SessionSettings, data_type, session_settings
    from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError
    from camserve.serving.backends.camserve_backend.provider_choice import choose_providers, open_session
else:
    from camserve_backend.declared_tensors import Tensor
    from camserve_backend.instance import Instance, version_file
    from camserve_backend.onnx_settings import SessionSettings, data_type, session_settings
    from camserve_backend.parameters import ModelRefusedError
    from camserve_backend.provider_choice import choose_providers, open_session


class TritonPythonModel(Instance):
    """An instance of one version of a model."""

    def load(self, args: Mapping[str, str], config: Mapping[str, Any]) -> _Session:
        """Create the session."""
        return _Session(args, config)


class _Session:
    """The ONNX Runtime session of a version."""

    def __init__(self, args: Mapping[str, str], config: Mapping[str, Any]) -> None:
        settings = session_settings(config)
        choice = choose_providers(config, kind=args["model_instance_kind"], device=args["model_instance_device_id"])
        self.provider = choice.label
        self.warnings = (*settings.warnings, *choice.warnings)
        path = version_file(args, config, "model.onnx")
        path = path / "model.onnx" if path.is_dir() else path
        try:
            self._session = open_session(str(path), _session_options(settings), choice.providers)
        except Exception as error:
            raise ModelRefusedError(f"onnxruntime cannot load {path.name}: {error}") from error
        self._run_options = onnxruntime.RunOptions()
        for name, value in settings.run_entries.items():
            self._run_options.add_run_config_entry(name, value)
        self.inputs = _tensors(self._session.get_inputs())
        self.optional = _tensors(self._session.get_overridable_initializers())
        self.outputs = _tensors(self._session.get_outputs())

    def run(self, names: Sequence[str], inputs: Mapping[str, Any]) -> Sequence[Any]:
        """Run the model and return the outputs with these names."""
        try:
            outputs: Sequence[Any] = self._session.run(names, inputs, self._run_options)
        except Exception as error:
            raise RuntimeError(f"onnxruntime: {error}") from error
        return outputs


def _session_options(settings: SessionSettings) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, settings.graph_level)
    options.execution_mode = getattr(onnxruntime.ExecutionMode, settings.execution_mode)
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = settings.inter_op_threads
    if settings.memory_arena is not None:
        options.enable_cpu_mem_arena = settings.memory_arena
    if settings.memory_pattern is not None:
        options.enable_mem_pattern = settings.memory_pattern
    for name, value in settings.entries.items():
        options.add_session_config_entry(name, value)
    for library in settings.operator_libraries:
        options.register_custom_ops_library(library)
    return options


def _tensors(found: Iterable[Any]) -> list[Tensor]:
    return [
        Tensor(each.name, data_type(each.type), tuple(side if isinstance(side, int) else -1 for side in each.shape))
        for each in found
    ]
