"""Choose what classifies the images of a run: a served model, or a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camserve.clients.scoring.answerer import AnswererOptions
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.errors import UsageError

__all__ = ["answerer_options"]

_URL = "localhost:8001"


def answerer_options(
    model: str | None,
    url: str | Sequence[str] | None,
    bundle: str | Path | None,
    settings: Mapping[str, Any],
) -> AnswererOptions:
    """Return what classifies the images.

    Args:
        model: Name of the model on the server.
        url: See `Classifier` (default: localhost:8001).
        bundle: Folder of a bundle, instead of a model.
        settings: Further arguments of `Classifier`.

    Raises:
        UsageError: If none or both of model and bundle are given, or a bundle and an argument that concerns a server.
    """
    if (model is None) == (bundle is None):
        raise UsageError(
            "a model or a bundle is required" if model is None else "a model and a bundle were given",
            hint="Pass --model NAME for a model of a server, or --bundle DIR for a bundle without a server",
        )
    if model is not None:
        return ServedOptions(_URL if url is None else url, model, dict(settings))
    for name in (*(["url"] if url is not None else []), *settings):
        raise UsageError(
            f"{name} concerns a server, and a bundle answers without one", hint=f"Leave out {name}, or bundle"
        )
    from camserve.clients.scoring.bundle_answerer import BundleOptions  # noqa: PLC0415  (loads ONNX Runtime)

    return BundleOptions(str(bundle))
