"""An instance of one version of a model, as Triton's Python stub runs it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import triton_python_backend_utils as pb_utils

from .cam_metrics import CamCounter
from .declared_tensors import Tensor, check_inputs, check_outputs, check_supported
from .execution import BatchExecution
from .execution_report import ExecutionReport
from .loaded_config import record_config
from .parameters import ModelRefusedError
from .restart_metrics import RestartGauges

__all__ = ["Instance", "Model", "version_file"]

_PREFIX = "camserve: "  # as in camserve.serving.server.log, which cannot be imported inside Triton


class Model(Protocol):
    """A loaded model."""

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The required inputs."""

    @property
    def optional(self) -> Sequence[Tensor]:
        """Inputs for which the model has a default value."""

    @property
    def outputs(self) -> Sequence[Tensor]:
        """The outputs."""

    @property
    def provider(self) -> str:
        """What it runs on, such as `CPU` or `CUDA`."""

    @property
    def warnings(self) -> Sequence[str]:
        """What the configuration requests and the instance does not have, as clauses without the model's name."""

    def make_ready(self) -> None:
        """Complete what takes long or needs checked tensors."""

    def run(self, names: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Run the model and return the outputs with these names, which may be valid only until the next run.

        Args:
            names: Names of outputs.
            parts: The inputs of each request of a batch by name.
        """


class Instance(ABC):
    """Base class of the `TritonPythonModel` of each backend; subclasses load the model."""

    @abstractmethod
    def load(self, args: Mapping[str, str], config: Mapping[str, Any]) -> Model:
        """Load the model.

        Args:
            args: Triton's description of the instance.
            config: The model's configuration.

        Raises:
            ModelRefusedError: If it cannot be loaded with this configuration.
        """

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and check its configuration."""
        config = json.loads(args["model_config"])
        try:
            check_supported(config)
            model = self.load(args, config)
            check_inputs(config, model.inputs, model.optional)
            check_outputs(config, model.outputs)
            model.make_ready()
        except ModelRefusedError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        name = config["name"]

        def warn(warning: str) -> None:
            pb_utils.Logger.log_warn(f"{_PREFIX}model {name}: {warning}")

        for warning in model.warnings:
            warn(warning)
        self._execution = BatchExecution(config, model.run, CamCounter(name, args["model_version"]), warn)
        self._report = ExecutionReport(model.provider, model.warnings, config)
        self._restarts = RestartGauges()
        record_config(args)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests of one batch with their requested outputs."""
        for_report = [self._report.is_requested(request) for request in requests]
        if not any(for_report):
            return self._execution.answer(requests)
        pairs = list(zip(requests, for_report, strict=True))
        answers = iter(self._execution.answer([request for request, report in pairs if not report]))
        return [self._report.response(request) if report else next(answers) for request, report in pairs]

    def finalize(self) -> None:
        """Release the model and its metrics.

        Deleting a metric sends a message to the server, for which the stub must still run. The stub of Triton 24.10
        deletes what remains of the model only after its queues, and crashes on a metric
        (https://github.com/triton-inference-server/python_backend/pull/429).
        """
        del self._execution, self._restarts


def version_file(args: Mapping[str, str], config: Mapping[str, Any], default: str) -> Path:
    """Return the file or folder of the version that an instance serves.

    Raises:
        ModelRefusedError: If it does not exist.
    """
    name = config.get("default_model_filename") or default
    path = Path(args["model_repository"]) / args["model_version"] / name
    if not path.exists():
        raise ModelRefusedError(f"cannot find '{path}' for model '{config['name']}'")
    return path
