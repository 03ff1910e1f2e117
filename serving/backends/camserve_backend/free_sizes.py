"""A model with one session of ONNX Runtime, for batches of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .batches import BatchJoiner
from .onnx_providers import LABELS, Provider
from .onnx_sessions import SessionFactory, declared_tensors

__all__ = ["FreeSizes"]


class FreeSizes:
    """A model that runs each batch with its own size.

    Args:
        factory: Creates the session.
        providers: Its execution providers, in order of preference.
        warnings: What the configuration requests and the instance does not have.

    Raises:
        ModelRefusedError: If ONNX Runtime cannot load the model.
    """

    def __init__(self, factory: SessionFactory, providers: Sequence[Provider], warnings: Sequence[str] = ()) -> None:
        self.provider, self.warnings = LABELS[providers[0][0]], warnings
        self._session = factory.create(providers)
        self._options = factory.run_options()
        self._joiner = BatchJoiner()
        declared = declared_tensors(self._session)
        self.inputs, self.optional, self.outputs = declared.inputs, declared.optional, declared.outputs

    def make_ready(self) -> None:
        """Do nothing: the session is complete."""

    def run(self, names: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Run the model and return the outputs with these names."""
        try:
            outputs: Sequence[Any] = self._session.run(names, self._joiner.join(parts), self._options)
        except Exception as error:
            raise RuntimeError(f"onnxruntime: {error}") from error
        return outputs
