"""A model folder that is written without `publish`, so that it can have any fault."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camserve.bundle import LABELS_NAME, ONNX_NAME, Bundle
from camserve.serving.config.message import CONFIG_NAME, build_config, render_config
from camserve.serving.config.named_options import make_options

__all__ = ["toy_config", "write_model_folder"]


def toy_config(
    bundle: Bundle, *, name: str = "toy", options: Mapping[str, Any] | None = None, precision: str = "fp32"
) -> Any:
    """Return the configuration with which the bundle would be published."""
    contract = bundle.contract.model_copy(update={"name": name})
    digest = bundle.files[ONNX_NAME]
    return build_config(contract, bundle.labels, make_options(options or {}), precision=precision, digest=digest)


def write_model_folder(repository: Path, bundle: Bundle, config: Any, *, name: str = "toy") -> Path:
    """Write a bundle as version 1 of a model with this configuration and return the model's folder."""
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle.path / ONNX_NAME, folder / "1" / ONNX_NAME)
    shutil.copyfile(bundle.path / LABELS_NAME, folder / LABELS_NAME)
    (folder / CONFIG_NAME).write_text(render_config(config), encoding="utf-8")
    return folder
