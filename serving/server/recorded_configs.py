"""The configurations that the models of a server were loaded with, as camserve's backends recorded them.

`config.pbtxt` can have changed since. A model of another backend has no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from camserve.serving.config.pinning import chosen_versions, pinned_to

__all__ = ["read_recorded_configs", "serving_only"]

_FALLBACK = "cpu_fallback"
_GROUP = model_config_pb2.ModelInstanceGroup

Versions = tuple[int, ...]


def read_recorded_configs(folder: Path, loaded: Mapping[str, Versions]) -> dict[str, Any]:
    """Return the `ModelConfig` message that each model was loaded with, by name, for exactly these versions.

    Args:
        folder: The folder that the backends write to.
        loaded: The versions that are loaded, by model.
    """
    found = {name: _recorded(folder / name, versions) for name, versions in loaded.items()}
    return {name: config for name, config in found.items() if config is not None}


def serving_only(config: Any, versions: Versions) -> Any:
    """Copy a recorded configuration so that Triton loads certain versions with it, and no others.

    Args:
        config: The message.
        versions: The versions, at least one.
    """
    copy = pinned_to(config, versions)
    copy.ClearField("runtime")  # Triton finds it again
    if _FALLBACK in copy.parameters:  # Triton had replaced KIND_AUTO by what the host had
        for group in copy.instance_group:
            group.kind = _GROUP.KIND_AUTO
            group.ClearField("gpus")
    return copy


def _recorded(folder: Path, versions: Versions) -> Any | None:
    """Return the latest configuration that serves all these versions; that of a load that failed has others."""
    files = [file for number in versions if (file := folder / f"{number}.json").is_file()]
    for file in sorted(files, key=lambda each: each.stat().st_mtime_ns, reverse=True):
        with suppress(json_format.ParseError, text_format.ParseError, UnicodeDecodeError, OSError):
            config = model_config_pb2.ModelConfig()
            json_format.Parse(file.read_text(encoding="utf-8"), config, ignore_unknown_fields=True)
            if chosen_versions(config.version_policy, versions) == versions:
                return pinned_to(config, versions)
    return None
