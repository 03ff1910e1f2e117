"""A model with one session of ONNX Runtime, for batches of any size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .batches import BatchJoiner
from .onnx_sessions import SessionFactory, declared_tensors
from .onnx_settings import Provider

__all__ = ["FreeSizes"]


class FreeSizes:
    """A model that runs each batch with its own size.

    Args:
        factory: Creates the session.
        providers: Its execution providers, in order of preference.

    Raises:
        ModelRefusedError: If ONNX Runtime cannot load the model.
    """

    def __init__(self, factory: SessionFactory, providers: Iterable[Provider]) -> None:
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
