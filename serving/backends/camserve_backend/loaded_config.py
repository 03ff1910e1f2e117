"""A record of the configuration that a version was loaded with, so that a restart of Triton can load the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import triton_python_backend_utils as pb_utils

__all__ = ["record_config"]

_FOLDER = "CAMSERVE_LOADED_CONFIGS"  # as in camserve.serving.server.launch, which cannot be imported inside Triton


def record_config(args: Mapping[str, str]) -> None:
    """Write the configuration of an instance that was loaded, if `camserve serve` has a folder for it.

    Args:
        args: Triton's description of the instance.
    """
    folder = os.environ.get(_FOLDER)
    if folder is None:
        return
    path = Path(folder) / args["model_name"] / f"{args['model_version']}.json"
    new = path.with_name(f"{path.name}.{os.getpid()}")  # the other instances write the same
    try:
        path.parent.mkdir(exist_ok=True)
        new.write_text(args["model_config"], encoding="utf-8")
        new.replace(path)
    except OSError as error:
        pb_utils.Logger.log_warn(f"model {args['model_name']}: a restart will not know its configuration: {error}")
