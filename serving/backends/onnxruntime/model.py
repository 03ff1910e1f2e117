"""Triton's `onnxruntime` backend in Python, for a Triton without the C++ backend.

Triton uses a compiled backend if it finds one and this file otherwise, so both serve the same repository unchanged. It
runs in Triton's Python stub, together with the folder `camserve_backend`, and needs only numpy and onnxruntime. It has
the same parameters as the C++ backend and refuses to load the same configurations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from camserve.serving.backends.camserve_backend.batch_sizes import choose_sizes
    from camserve.serving.backends.camserve_backend.cuda_graphs import check_free_sizes, plan_attempts
    from camserve.serving.backends.camserve_backend.fixed_sizes import FixedSizes
    from camserve.serving.backends.camserve_backend.free_sizes import FreeSizes
    from camserve.serving.backends.camserve_backend.instance import Instance, Model, version_file
    from camserve.serving.backends.camserve_backend.onnx_providers import CUDA
    from camserve.serving.backends.camserve_backend.onnx_sessions import SessionFactory
    from camserve.serving.backends.camserve_backend.onnx_settings import session_settings
    from camserve.serving.backends.camserve_backend.provider_choice import choose_providers
else:
    from camserve_backend.batch_sizes import choose_sizes
    from camserve_backend.cuda_graphs import check_free_sizes, plan_attempts
    from camserve_backend.fixed_sizes import FixedSizes
    from camserve_backend.free_sizes import FreeSizes
    from camserve_backend.instance import Instance, version_file
    from camserve_backend.onnx_providers import CUDA
    from camserve_backend.onnx_sessions import SessionFactory
    from camserve_backend.onnx_settings import session_settings
    from camserve_backend.provider_choice import choose_providers


class TritonPythonModel(Instance):
    """An instance of one version of a model."""

    def load(self, args: Mapping[str, str], config: Mapping[str, Any]) -> Model:
        """Prepare the sessions."""
        settings = session_settings(config)
        choice = choose_providers(config, kind=args["model_instance_kind"], device=args["model_instance_device_id"])
        batch = choose_sizes(config, cuda=choice.providers[0][0] == CUDA)
        warnings = [*settings.warnings, *choice.warnings, *batch.warnings]
        path = version_file(args, config, "model.onnx")
        factory = SessionFactory(path / "model.onnx" if path.is_dir() else path, settings)
        if not batch.sizes:
            check_free_sizes(config, choice.providers)
            return FreeSizes(factory, choice.providers, warnings)
        attempts = plan_attempts(config, choice.providers, settings.run_entries)
        return FixedSizes(
            factory,
            config,
            batch.sizes,
            attempts,
            warnings,
            log=lambda line: pb_utils.Logger.log_info(f"model {config['name']}: {line}"),
        )
