"""Sessions of ONNX Runtime, created with the settings of a model's configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnxruntime

from .declared_tensors import Tensor
from .onnx_providers import CPU, Provider
from .onnx_settings import SessionSettings, data_type
from .parameters import ModelRefusedError
from .provider_choice import open_session

__all__ = ["DeclaredTensors", "SessionFactory", "declared_tensors"]


@dataclass(frozen=True)
class DeclaredTensors:
    """The tensors of a model.

    Attributes:
        inputs: The required inputs.
        optional: Inputs for which the model has a default value.
        outputs: The outputs.
        batch_names: Names that the graph gives the first dimension of its inputs.
    """

    inputs: Sequence[Tensor]
    optional: Sequence[Tensor]
    outputs: Sequence[Tensor]
    batch_names: frozenset[str]


class SessionFactory:
    """Creates the sessions of a model file.

    Args:
        path: The file.
        settings: Settings of each session.
    """

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        self._path = path
        self._settings = settings

    def create(self, providers: Sequence[Provider], *, dimensions: Mapping[str, int] = MappingProxyType({})) -> Any:
        """Create a session.

        Args:
            providers: Its execution providers, in order of preference.
            dimensions: Sizes of dimensions that the graph leaves free, by their names.

        Raises:
            ModelRefusedError: If ONNX Runtime cannot create it.
        """
        try:
            options = _session_options(self._settings)
            for name, size in dimensions.items():
                options.add_free_dimension_override_by_name(name, size)
            return open_session(str(self._path), options, providers)
        except Exception as error:
            raise ModelRefusedError(f"onnxruntime cannot load {self._path.name}: {error}") from error

    def describe(self, providers: Sequence[Provider]) -> DeclaredTensors:
        """Return the tensors of the model as its file declares them, read by a session that is closed again.

        Args:
            providers: Execution providers that have every operator of the model. The CPU is attempted first, since it
                needs no memory of a GPU.

        Raises:
            ModelRefusedError: If ONNX Runtime cannot read the file.
        """
        options = _session_options(self._settings)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            return declared_tensors(open_session(str(self._path), options, [(CPU, {})]))
        except Exception:  # noqa: BLE001 - whatever the reason, the session is opened again as it will run
            return declared_tensors(self.create(providers))

    def run_options(self, entries: Mapping[str, str] = MappingProxyType({})) -> Any:
        """Return the options of a run.

        Args:
            entries: Run configuration entries besides those of the settings.
        """
        options = onnxruntime.RunOptions()
        for name, value in {**self._settings.run_entries, **entries}.items():
            options.add_run_config_entry(name, value)
        return options


def declared_tensors(session: Any) -> DeclaredTensors:
    """Return the tensors of a session."""
    first = [each.shape[0] for each in session.get_inputs() if each.shape]
    return DeclaredTensors(
        inputs=_tensors(session.get_inputs()),
        optional=_tensors(session.get_overridable_initializers()),
        outputs=_tensors(session.get_outputs()),
        batch_names=frozenset(side for side in first if isinstance(side, str)),
    )


def _tensors(found: Iterable[Any]) -> list[Tensor]:
    return [
        Tensor(each.name, data_type(each.type), tuple(side if isinstance(side, int) else -1 for side in each.shape))
        for each in found
    ]


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
