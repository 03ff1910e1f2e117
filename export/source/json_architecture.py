"""Reading of an architecture in JSON, as `model.to_json()` returns it, without loading a framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from camserve.errors import SourceError
from camserve.export.source.limits import check_config_size

__all__ = ["read_architecture"]


def read_architecture(path: Path) -> dict[str, Any]:
    """Return the architecture, without losses and optimizer, because the model is not compiled.

    Raises:
        SourceError: If the file is not the architecture of a Keras model.
    """
    check_config_size(path.stat().st_size, str(path))
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(document, str):  # json.dump(model.to_json(), file)
            document = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path} is not valid JSON, or it is truncated: {error}", hint="Write it again: model.to_json()"
        ) from None
    architecture = document if isinstance(document, dict) else {}
    if "modelTopology" in architecture:
        raise SourceError(
            f"{path} is a model for TensorFlow.js",
            hint="Convert it: tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras "
            f"{path} model.h5",
        )
    if not isinstance(architecture.get("class_name"), str) or not isinstance(architecture.get("config"), dict | list):
        raise SourceError(
            f"{path} is JSON, but not the architecture of a Keras model",
            hint="Pass the text that model.to_json() returns, in a file, and its weights: --weights FILE",
        )
    architecture.pop("compile_config", None)
    return architecture
