"""Lint a model with a changed configuration or folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from support.model_folder import toy_config, write_model_folder

from camserve.bundle import Bundle
from camserve.serving.repository.lint.engine import lint_repository
from camserve.serving.repository.lint.targets import DEFAULT_RELEASE

__all__ = ["CORES", "Lint", "accelerator_parameters", "with_precision"]

CORES = 4
"""Cores of the host for which models are linted."""

Found = list[tuple[str, str]]


@dataclass(frozen=True)
class Lint:
    """Writes the toy model into a repository and lints it.

    Attributes:
        bundle: The toy bundle.
        repository: A new folder.
    """

    bundle: Bundle
    repository: Path

    def __call__(
        self,
        change: Callable[[Any], object] | None = None,
        damage: Callable[[Path], object] | None = None,
        *,
        options: dict[str, Any] | None = None,
        triton: str = DEFAULT_RELEASE,
        precision: str = "fp32",
    ) -> Found:
        """Change the model's configuration and folder, and return the rules and severities of its findings."""
        config = toy_config(self.bundle, options=options, precision=precision)
        if change is not None:
            change(config)
        folder = write_model_folder(self.repository, self.bundle, config)
        if damage is not None:
            damage(folder)
        found = lint_repository(self.repository, triton=triton, cores=CORES)
        assert all(finding.message and finding.hint for finding in found)
        return [(finding.rule, finding.severity) for finding in found]


def accelerator_parameters(config: Any) -> Any:
    """Return the parameters of the first GPU accelerator."""
    return config.optimization.execution_accelerators.gpu_execution_accelerator[0].parameters


def with_precision(precision: str) -> Callable[[Path], object]:
    """Give the graph of version 1 weights of float16, or a quantized constant."""

    def convert(folder: Path) -> None:
        path = folder / "1" / "model.onnx"
        model = onnx.load(path)
        if precision == "fp16":
            model.graph.initializer.add(name="half", data_type=onnx.TensorProto.FLOAT16, raw_data=b"")
        elif precision == "int8":
            model.graph.node.add(op_type="QuantizeLinear", name="quantize")
        onnx.save(model, path)

    return convert
