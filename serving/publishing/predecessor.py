"""What stands where a version shall go, and whether that version may follow it."""

from __future__ import annotations

from pathlib import Path

from camserve.contract_change import contract_breaks
from camserve.errors import RepositoryError
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import PublishedModel, read_published
from camserve.serving.repository.staging import STAGE_NAME

__all__ = ["find_predecessor"]


def find_predecessor(draft: Draft) -> PublishedModel | None:
    """The model as it stands; None where the draft will be its first version.

    Raises:
        RepositoryError: If something else stands there, or clients would meet another contract.
    """
    standing = read_published(draft.model)
    if standing is None:
        _refuse_foreign(draft.model)
    else:
        _refuse_breaks(draft, standing)
    return standing


def _refuse_foreign(model: Path) -> None:
    if model.exists() and not model.is_dir():
        raise RepositoryError(f"{model} exists and is not a folder", hint="Move it away, or publish under another name")
    if model.is_dir() and any(path.name != STAGE_NAME for path in model.iterdir()):
        raise RepositoryError(
            f"{model} exists and is no published model", hint="Move it away, or publish under another name"
        )


def _refuse_breaks(draft: Draft, standing: PublishedModel) -> None:
    breaks = contract_breaks(
        standing.contract, draft.contract, known_labels=standing.labels, new_labels=draft.source.labels
    )
    if breaks and not draft.allow_contract_change:
        raise RepositoryError(
            f"{draft.model.name} is served under another contract, and its clients rely on it: {'; '.join(breaks)}",
            hint="Publish the bundle under another name, with --name, or go on where every client knows of it, with "
            "--allow-contract-change",
        )
