"""One instance of one version of a model, as Triton's stub starts it and asks it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import triton_python_backend_utils as pb_utils

from .cam_metrics import MapCounter
from .declared_tensors import Tensor, check_inputs, check_outputs, check_type
from .execution import BatchExecution
from .parameters import ModelRefusedError

__all__ = ["Instance", "Model", "version_file"]


class Model(Protocol):
    """A model that is loaded."""

    @property
    def inputs(self) -> Sequence[Tensor]:
        """Tensors that it needs."""

    @property
    def optional(self) -> Sequence[Tensor]:
        """Tensors that it has values of its own for."""

    @property
    def outputs(self) -> Sequence[Tensor]:
        """Tensors that it answers with."""

    def run(self, names: Sequence[str], inputs: Mapping[str, Any]) -> Sequence[Any]:
        """The outputs of these names."""


class Instance(ABC):
    """What each backend's `TritonPythonModel` is, but for the way in which it loads a model."""

    @abstractmethod
    def load(self, args: Mapping[str, str], config: Mapping[str, Any]) -> Model:
        """Loads the model.

        Args:
            args: What Triton says of the instance.
            config: The model's configuration.

        Raises:
            ModelRefusedError: If it cannot be loaded as the configuration says.
        """

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model and holds the configuration against it."""
        config = json.loads(args["model_config"])
        try:
            check_type(config)
            model = self.load(args, config)
            check_inputs(config, model.inputs, model.optional)
            check_outputs(config, model.outputs)
        except ModelRefusedError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._answering = BatchExecution(config, model.run, MapCounter(config["name"], args["model_version"]))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers the requests of one batch, each with the outputs that it asked for."""
        return self._answering.answer(requests)


def version_file(args: Mapping[str, str], config: Mapping[str, Any], default: str) -> Path:
    """The file or folder of the version that an instance is to serve.

    Raises:
        ModelRefusedError: If it is not there.
    """
    name = config.get("default_model_filename") or default
    path = Path(args["model_repository"]) / args["model_version"] / name
    if not path.exists():
        raise ModelRefusedError(f"unable to find '{path}' for model '{config['name']}'")
    return path
