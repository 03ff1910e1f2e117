"""Triton's `openvino` backend in Python, for a Triton without the C++ backend, and for what that one lacks.

Triton uses a compiled backend if it finds one and this file otherwise, so both serve the same repository unchanged. It
runs in Triton's Python stub, together with the folder `camserve_backend`, and needs only numpy and openvino. Unlike the
C++ backend, it computes in no other precision than the one that the configuration pins, and batches of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from camserve.serving.backends.camserve_backend.instance import Instance, Model, version_file
    from camserve.serving.backends.camserve_backend.openvino_model import OpenVinoModel
    from camserve.serving.backends.camserve_backend.openvino_settings import network_settings
else:
    from camserve_backend.instance import Instance, version_file
    from camserve_backend.openvino_model import OpenVinoModel
    from camserve_backend.openvino_settings import network_settings


class TritonPythonModel(Instance):
    """An instance of one version of a model."""

    def load(self, args: Mapping[str, str], config: Mapping[str, Any]) -> Model:
        """Read the model."""
        path = version_file(args, config, "model.xml")
        settings = network_settings(config, kind=args["model_instance_kind"], file_size=path.stat().st_size)
        return OpenVinoModel(
            path,
            config,
            settings,
            log=lambda line: pb_utils.Logger.log_info(f"model {config['name']}: {line}"),
        )
