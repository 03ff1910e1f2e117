"""Variants of a published model, whose configuration or contract is changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.contract import CONTRACT_PARAMETER

__all__ = ["Edit", "add_variant", "without_maps"]

Edit = Callable[[Any, dict[str, Any]], None]
"""Changes a configuration and the contract in it, which is removed if it becomes empty."""


def add_variant(repository: Path, original: Path, edit: Edit) -> None:
    """Copy the published toy under the name of the edit, with its configuration and contract changed."""
    folder = repository / edit.__name__
    shutil.copytree(original / "toy", folder)
    path = folder / "config.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    contract = json.loads(config.parameters[CONTRACT_PARAMETER].string_value)
    config.name = edit.__name__
    del config.model_warmup[:]
    edit(config, contract)
    if contract:
        config.parameters[CONTRACT_PARAMETER].string_value = json.dumps(contract)
    else:
        del config.parameters[CONTRACT_PARAMETER]
    path.write_text(text_format.MessageToString(config))


def without_maps(config: Any, contract: dict[str, Any]) -> None:
    """Remove the maps."""
    contract["cam"] = None
    del contract["outputs"][2:]
    del config.output[2:]
