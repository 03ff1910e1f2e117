"""What the rows of a run depend on besides its images, by which a run is recognized that goes on with another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from camserve.clients.scoring.row_options import RowOptions

__all__ = ["run_identity"]

_OF_THE_MODEL = ("contract", "labels", "names")
"""Arguments of `Classifier` that influence rows; the version is a column of each row."""


def run_identity(model: str | None, options: RowOptions, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that rows depend on, by their names on the command line, as values of JSON.

    Addresses, timeouts, the number of workers and the like are not part of it, and neither is the version of the model,
    which each row contains.

    Args:
        model: The served model; None if a bundle answers.
        options: What rows contain.
        settings: Further arguments of `Classifier`.
    """
    identity = {
        "model": model,
        "bundle": model is None,
        "top": options.top,
        "crops": None if options.crops is None else asdict(options.crops),
        "all-probabilities": options.all_probabilities,
        "maps": options.maps,
        **{name.replace("_", "-"): value for name, value in asdict(options.decode_options).items()},
    }
    given = {name: settings[name] for name in _OF_THE_MODEL if settings.get(name) is not None}
    return identity | {name: hashlib.sha256(repr(value).encode()).hexdigest()[:12] for name, value in given.items()}
