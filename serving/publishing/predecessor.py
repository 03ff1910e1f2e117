"""Check that a version may follow the model that is published under the same name."""

from __future__ import annotations

from pathlib import Path

from camserve.contract_change import contract_breaks
from camserve.errors import RepositoryError
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import PublishedModel
from camserve.serving.repository.staging_area import STAGE_NAME

__all__ = ["check_predecessor"]

_MOVE_AWAY = "Move it away, or publish under another name with --name"


def check_predecessor(draft: Draft) -> None:
    """Check that a draft may follow the published model.

    Raises:
        RepositoryError: If its path is in use by something else, or the contract of the model would change.
    """
    if draft.published is None:
        _refuse_foreign(draft.model)
    else:
        _refuse_breaks(draft, draft.published)


def _refuse_foreign(model: Path) -> None:
    if model.exists() and not model.is_dir():
        raise RepositoryError(f"{model} exists and is not a folder", hint=_MOVE_AWAY)
    if model.is_dir() and any(path.name != STAGE_NAME for path in model.iterdir()):
        raise RepositoryError(f"{model} exists and is not a published model", hint=_MOVE_AWAY)


def _refuse_breaks(draft: Draft, published: PublishedModel) -> None:
    breaks = contract_breaks(
        published.contract, draft.contract, known_labels=published.labels, new_labels=draft.source.labels
    )
    if breaks and not draft.allow_contract_change:
        raise RepositoryError(
            f"{draft.model.name} is published with another contract, which its clients rely on: {'; '.join(breaks)}",
            hint="Publish under another name with --name, or, if every client can handle the change, publish with "
            "--allow-contract-change",
        )
