"""Publishing: a bundle becomes the next version of a model in a repository, wholly or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from camserve.bundle import Bundle, load_bundle
from camserve.names import check_model_name
from camserve.progress import Progress
from camserve.serving.config.backends import Backend
from camserve.serving.config.message import BACKEND, read_options
from camserve.serving.config.named_options import changed_options
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.delivery import Publication, deliver
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import read_published
from camserve.serving.repository.lock import LOCK_SECONDS
from camserve.tls import ClientTls

__all__ = ["Publication", "publish", "served_on"]


def publish(
    bundle: Bundle | str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    options: ServingOptions | Mapping[str, Any] | None = None,
    backend: Backend = BACKEND,
    allow_contract_change: bool = False,
    url: str | None = None,
    admin_key: str | None = None,
    tls: ClientTls | None = None,
    wait: float = LOCK_SECONDS,
    progress: Progress | None = None,
) -> Publication:
    """Publishes a bundle as the next version of a model.

    The bundle is verified against its manifest, copied aside, loaded once in ONNX Runtime, asked its golden images,
    flushed to the disk and only then renamed into the repository, one publisher after the other. A number that was
    used once is never used again. Where it fails, no version is left behind and the old one serves on.

    Args:
        bundle: The bundle or its folder.
        repository: The repository's folder; made if it does not exist.
        name: The model's name in the repository; the bundle's own unless given.
        options: How to serve it; they hold for every version of the model. All of them, or by name only those that
            change, or None: what is not given stays as it stands, and takes its default where the model is new.
        backend: `onnxruntime` serves the ONNX file, `tensorflow` the SavedModel.
        allow_contract_change: Publish even if clients find another contract or other labels than they know.
        url: `host:port` of gRPC of a Triton in explicit mode that serves this repository. It loads the version and must
            answer the golden images with it; where it does not, the version before is put back.
        admin_key: What that server wants to hear before it loads models, where it restricts that.
        tls: Encrypt the connection to it.
        wait: Seconds to wait for another publisher.
        progress: Called with the name of each phase as it begins.

    Raises:
        BundleError: If the bundle is incomplete, altered, lacks the backend's format, or does not load or answer as it
            did at its export.
        RepositoryError: If the repository cannot be written, or the model there answers by another contract or
            other labels.
        ServerError: If the server cannot be told, or does not answer with the new version.
        UsageError: If the name cannot be a model's name, or an option is out of range.
    """
    changes = options if isinstance(options, ServingOptions) else dict(options or {})
    source = load_bundle(bundle.path if isinstance(bundle, Bundle) else bundle)
    contract = source.contract.model_copy(
        update={"name": check_model_name(source.contract.name if name is None else name)}
    )
    if not isinstance(changes, ServingOptions):
        _check_options(changes, Path(repository).expanduser() / contract.name)

    def draft_of(root: Path) -> Draft:
        return Draft(root / contract.name, contract, source, changes, backend, allow_contract_change)

    with served_on(url, admin_key=admin_key, tls=tls) as server:
        return deliver(repository, f"publishes {contract.name}", draft_of, server=server, wait=wait, progress=progress)


def _check_options(changes: Mapping[str, Any], model: Path) -> None:
    """Finds out early what would be found out late: before anything is copied or waited for."""
    standing = read_published(model)
    changed_options(read_options(standing.config) if standing else {}, changes)


def served_on(
    url: str | None, *, admin_key: str | None, tls: ClientTls | None
) -> AbstractContextManager[LiveServer | None]:
    """The server of that address, once it is known to load models; None where there is no address.

    Raises:
        ServerError: If it does not answer or does not load models.
    """
    if url is None:
        return nullcontext()
    server = LiveServer(url, admin_key=admin_key, tls=tls)
    try:
        server.check_control()
    except BaseException:
        server.close()
        raise
    return server
