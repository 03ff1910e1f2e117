"""Triton's `tensorflow` backend in Python: it serves SavedModels, for which Triton has no backend since 25.03.

It runs in Triton's Python stub, together with the folder `camserve_backend`, and needs only numpy and tensorflow. It
reads the same parameters as Triton's former backend.

The signature is run by a session instead of a loaded object: only a session skips the computation of outputs that are
not requested, and has its own threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

if TYPE_CHECKING:
    from camserve.serving.backends.camserve_backend.batches import BatchJoiner
    from camserve.serving.backends.camserve_backend.declared_tensors import Tensor
    from camserve.serving.backends.camserve_backend.gpu_obstacles import refuse_or_warn
    from camserve.serving.backends.camserve_backend.instance import Instance, version_file
    from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError
    from camserve.serving.backends.camserve_backend.tensorflow_gpu import gpu_obstacle
    from camserve.serving.backends.camserve_backend.tensorflow_settings import (
        SessionSettings,
        data_type,
        session_settings,
    )
else:
    from camserve_backend.batches import BatchJoiner
    from camserve_backend.declared_tensors import Tensor
    from camserve_backend.gpu_obstacles import refuse_or_warn
    from camserve_backend.instance import Instance, version_file
    from camserve_backend.parameters import ModelRefusedError
    from camserve_backend.tensorflow_gpu import gpu_obstacle
    from camserve_backend.tensorflow_settings import SessionSettings, data_type, session_settings


class TritonPythonModel(Instance):
    """An instance of one version of a model."""

    def load(self, args: Mapping[str, str], config: Mapping[str, Any]) -> _Signature:
        """Load the SavedModel."""
        settings = session_settings(config, kind=args["model_instance_kind"], device=args["model_instance_device_id"])
        obstacle = None if settings.gpu is None else gpu_obstacle(settings.gpu)
        warnings = () if obstacle is None else (refuse_or_warn(config, "a GPU that TensorFlow can use", obstacle),)
        usable = settings if obstacle is None else replace(settings, gpu=None)
        self._signature = _Signature(version_file(args, config, "model.savedmodel"), usable, warnings)
        return self._signature

    def finalize(self) -> None:
        """Release the model, its counter and the memory of the session."""
        super().finalize()
        self._signature.close()


class _Signature:
    """A signature of a SavedModel, in its own session."""

    optional = ()

    def __init__(self, path: Path, settings: SessionSettings, warnings: Sequence[str]) -> None:
        self.provider = "CPU" if settings.gpu is None else "CUDA"
        self.warnings = warnings
        if settings.tf32 is not None:
            tf.config.experimental.enable_tensor_float_32_execution(settings.tf32)
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=_configuration(settings))
        try:
            loaded = tf.compat.v1.saved_model.load(self._session, [settings.graph_tag], str(path))
        except Exception as error:
            raise ModelRefusedError(f"tensorflow cannot load {path.name}: {error}") from error
        if settings.signature not in loaded.signature_def:
            known = ", ".join(sorted(loaded.signature_def))
            raise ModelRefusedError(f"{path.name} has no signature '{settings.signature}'; it has {known}")
        signature = loaded.signature_def[settings.signature]
        self.inputs = [_tensor(name, info) for name, info in signature.inputs.items()]
        self.outputs = [_tensor(name, info) for name, info in signature.outputs.items()]
        self._feeds = {name: info.name for name, info in signature.inputs.items()}
        self._fetches = {name: info.name for name, info in signature.outputs.items()}
        self._joiner = BatchJoiner()
        self._calls: dict[tuple[str, ...], Callable[..., Sequence[Any]]] = {}

    def make_ready(self) -> None:
        """Do nothing: the session is complete."""

    def run(self, names: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Run the model and return the outputs with these names."""
        key = tuple(names)
        inputs = self._joiner.join(parts)
        try:
            if key not in self._calls:
                fetches, feeds = [self._fetches[name] for name in key], list(self._feeds.values())
                self._calls[key] = self._session.make_callable(fetches, feeds)
            return self._calls[key](*(inputs[name] for name in self._feeds))
        except Exception as error:
            raise RuntimeError(f"tensorflow: {error}") from error

    def close(self) -> None:
        """Close the session."""
        self._calls.clear()
        self._session.close()


def _configuration(settings: SessionSettings) -> Any:
    configuration = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=settings.intra_op_threads,
        inter_op_parallelism_threads=settings.inter_op_threads,
        use_per_session_threads=True,
        allow_soft_placement=True,
        device_count={"GPU": 0} if settings.gpu is None else {},
    )
    if settings.gpu is not None:
        configuration.gpu_options.visible_device_list = settings.gpu
        configuration.gpu_options.allow_growth = True
    return configuration


def _tensor(name: str, info: Any) -> Tensor:
    shape = None if info.tensor_shape.unknown_rank else tuple(int(axis.size) for axis in info.tensor_shape.dim)
    return Tensor(name, data_type(tf.dtypes.as_dtype(info.dtype).name), shape)
