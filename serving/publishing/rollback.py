"""Rolling back: an older version is published again, under a new number."""

from __future__ import annotations

from pathlib import Path

from camserve.bundle import Bundle, load_bundle
from camserve.errors import BundleError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.progress import Progress
from camserve.serving.config.backends import Backend, backend_of, default_backend
from camserve.serving.config.message import MODEL_FILES
from camserve.serving.live.server import open_live_server
from camserve.serving.publishing.delivery import Publication, deliver
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import PublishedModel, read_published
from camserve.serving.repository.listing import check_known_models, open_repository
from camserve.serving.repository.lock import LOCK_SECONDS
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
    """Publish an older version again, as the newest one, with the current serving options.

    It is checked like every publication, so a damaged version is not served again, and version numbers only increase.

    Args:
        repository: The repository's folder.
        model: Name of the model.
        to: The version to publish again (default: the one before the served version).
        allow_contract_change: Publish even if the contract or the labels change for clients.
        url: As for `publish`.
        admin_key: As for `publish`.
        tls: As for `publish`.
        wait: As for `publish`.
        progress: As for `publish`.

    Returns:
        The published version.

    Raises:
        RepositoryError: If the model or the version is unknown, or the version is damaged.
        BundleError: If the version does not reproduce its golden answers.
        ServerError: If the server does not answer, or does not serve the version correctly.
    """
    root = open_repository(repository)

    def make_draft(_root: Path) -> Draft:
        check_known_models(root, [model])
        folder = root / model
        published = read_published(folder)
        if published is None:
            raise RepositoryError(f"{folder} was removed in the meantime")
        number = _target_version(model, published, to)
        source = _load_version(folder, published, number)
        contract = source.contract.model_copy(update={"name": model})
        backend = _backend(source, published)
        return Draft(folder, published, contract, source, {}, backend, allow_contract_change, source_version=number)

    with open_live_server(url, admin_key=admin_key, tls=tls) as server:
        return deliver(root, f"rolling back {model}", make_draft, server=server, wait=wait, progress=progress)


def _target_version(model: str, published: PublishedModel, to: int | None) -> int:
    if to is not None:
        if to not in published.ledger:
            raise RepositoryError(f"{model} has no version {to}", hint=_choose_version(published))
        return to
    older = [number for number in published.ledger if number < max(published.served, default=0)]
    if not older:
        raise RepositoryError(
            f"{model} has no version before the served one",
            hint=_choose_version(published, without=published.served),
        )
    return max(older)


def _choose_version(published: PublishedModel, *, without: tuple[int, ...] = ()) -> str:
    versions = [str(number) for number in sorted(published.ledger) if number not in without]
    if not versions:
        return "Publish another version first"
    if len(versions) == 1:
        return f"Use the only {'other ' if without else ''}version: --to {versions[0]}"
    return f"Choose one of the versions {', '.join(versions)} with --to"


def _load_version(folder: Path, published: PublishedModel, number: int) -> Bundle:
    hint = f"Choose another version with --to, or restore {folder / str(number)} from a backup"
    try:
        source = load_bundle(folder / str(number))
    except BundleError as error:
        raise RepositoryError(f"version {number} of {folder.name} is damaged: {error.message}", hint=hint) from None
    if file_digest(folder / str(number) / MANIFEST_NAME) != published.ledger[number]:
        raise RepositoryError(f"version {number} of {folder.name} is not the version that was published", hint=hint)
    return source


def _backend(version: Bundle, published: PublishedModel) -> Backend:
    """Return the current backend of the model if it runs the version, or else the one that does."""
    tensorflow = MODEL_FILES["tensorflow"]
    if any(name.startswith(f"{tensorflow}/") for name in version.files):
        return "tensorflow"
    return "openvino" if backend_of(published.config) == "openvino" else default_backend(version.precision)
