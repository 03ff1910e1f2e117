"""Placement: renaming a finished version into its model, so that at any moment either the old or the new model exists.

1. The version number is recorded as used. 2. The version is renamed into the model; the configuration does not name it
yet, so Triton does not load it. 3. `config.pbtxt` is replaced atomically: from now on, the new version is part of the
model. A new model is added by one rename, with its configuration. If the publisher is killed between two steps, at most
a version remains that is not served; the next publisher recognizes it by its number and manifest and removes it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from camserve.serving.publishing.draft import Draft
from camserve.serving.publishing.file_model import place_file_model, remove_file_model
from camserve.serving.publishing.plan import plan_config
from camserve.serving.publishing.version_folders import add_model, add_version
from camserve.serving.repository.allocation import Allocated, allocate_version, read_numbers
from camserve.serving.repository.ledger import config_text
from camserve.serving.repository.version_numbers import claimed_numbers

__all__ = ["Placement", "place"]


@dataclass(frozen=True, eq=False)
class Placement:
    """A version that was added to its model.

    Attributes:
        number: The version number.
        manifest: SHA-256 of its manifest.
        served: Whether the configuration serves it.
        warnings: Which other versions the configuration does not serve any more, and why.
        undo: Restores the previous state when it is closed.
    """

    number: int
    manifest: str
    served: bool
    warnings: tuple[str, ...]
    undo: ExitStack


def place(root: Path, stage: Path, version: Path, manifest: str, draft: Draft) -> Placement:
    """Rename a version into its model.

    Args:
        root: The repository's folder; the caller holds its lock.
        stage: The staging area.
        version: The finished version, in the staging area.
        manifest: SHA-256 of its manifest.
        draft: What is published.

    Raises:
        RepositoryError: If the version policy does not allow it.
    """
    number = _next_number(root, draft)
    plan = plan_config(draft, number, manifest)
    text = config_text(plan.config, "" if draft.published is None else draft.published.text)
    allocate_version(root, stage, draft.model.name, Allocated(number, manifest))
    with ExitStack() as undo:
        place_file_model(root, stage, plan.config, undo)
        place_version = add_version if draft.model.exists() else add_model
        place_version(stage, version, draft.model / str(number), text, undo)
        remove_file_model(root, stage, plan.config, undo)
        served = number in plan.config.version_policy.specific.versions
        return Placement(number, manifest, served, plan.warnings, undo.pop_all())


def _next_number(root: Path, draft: Draft) -> int:
    allocated = read_numbers(root).get(draft.model.name)
    numbers = {0, allocated.number if allocated else 0, *(draft.published.ledger if draft.published else ())}
    return max(numbers | (claimed_numbers(draft.model) if draft.model.exists() else set())) + 1
