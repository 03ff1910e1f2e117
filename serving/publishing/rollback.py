"""Rolling back: an older version is published once more, under a new number."""

from __future__ import annotations

from pathlib import Path

from camserve.bundle import Bundle, load_bundle
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.progress import Progress
from camserve.serving.config.backends import Backend
from camserve.serving.config.message import BACKEND, MODEL_FILES
from camserve.serving.publishing.delivery import Publication, deliver
from camserve.serving.publishing.draft import Draft
from camserve.serving.publishing.publish import served_on
from camserve.serving.repository.ledger import PublishedModel, read_published
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.lock import LOCK_SECONDS
from camserve.serving.repository.unknown_model import unknown_model
from camserve.tls import ClientTls

__all__ = ["rollback"]


def rollback(
    repository: str | Path,
    model: str,
    *,
    to: int | None = None,
    allow_contract_change: bool = False,
    url: str | None = None,
    admin_key: str | None = None,
    tls: ClientTls | None = None,
    wait: float = LOCK_SECONDS,
    progress: Progress | None = None,
) -> Publication:
    """Publishes an older version once more, as the newest; options stay as they are.

    It goes the way of every publication, so what is damaged is not served again, and numbers only ever rise.

    Args:
        repository: The repository's folder.
        model: Name of the model.
        to: The version; the one before the served unless given.
        allow_contract_change: Even if clients find another contract or other labels than they know.
        url: As for `publish`.
        admin_key: As for `publish`.
        tls: As for `publish`.
        wait: As for `publish`.
        progress: As for `publish`.

    Raises:
        RepositoryError: If there is no such model or version, or the version is damaged.
        BundleError: If it does not answer as it did at its export.
        ServerError: If the server cannot be told, or does not answer with it.
    """
    root = open_repository(repository)

    def draft_of(_root: Path) -> Draft:
        folder = root / model
        standing = read_published(folder) if folder.parent == root else None
        if standing is None:
            raise unknown_model(root, model)
        number = _target(model, standing, to)
        source = _version(folder, standing, number)
        contract = source.contract.model_copy(update={"name": model})
        return Draft(folder, contract, source, {}, _backend(source), allow_contract_change, again=number)

    with served_on(url, admin_key=admin_key, tls=tls) as server:
        return deliver(root, f"rolls {model} back", draft_of, server=server, wait=wait, progress=progress)


def _target(model: str, standing: PublishedModel, to: int | None) -> int:
    stand = ", ".join(map(str, sorted(standing.ledger))) or "none"
    if to is not None and to not in standing.ledger:
        raise RepositoryError(f"{model} has no version {to}", hint=f"There are {stand}")
    if to is not None:
        return to
    older = [number for number in standing.ledger if number < max(standing.served, default=0)]
    if not older:
        raise RepositoryError(
            f"{model} has no version before the one that is served", hint=f"There are {stand}; name one with --to"
        )
    return max(older)


def _version(folder: Path, standing: PublishedModel, number: int) -> Bundle:
    try:
        source = load_bundle(folder / str(number))
    except BundleError as error:
        raise RepositoryError(
            f"version {number} of {folder.name} is not as it was published: {error.message}",
            hint="Roll back to another one with --to, or restore it from a copy",
        ) from error
    if file_digest(folder / str(number) / MANIFEST_NAME) != standing.ledger[number]:
        raise RepositoryError(
            f"version {number} of {folder.name} is not the one that was published",
            hint="Roll back to another one with --to, or restore it from a copy",
        )
    return source


def _backend(version: Bundle) -> Backend:
    tensorflow = MODEL_FILES["tensorflow"]
    return "tensorflow" if any(name.startswith(f"{tensorflow}/") for name in version.files) else BACKEND
