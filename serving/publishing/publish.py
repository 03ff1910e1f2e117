"""Publishing a bundle as the next version of a model in a repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camserve.bundle import Bundle, load_bundle
from camserve.names import check_model_name
from camserve.progress import Progress
from camserve.serving.config.backends import Backend, default_backend
from camserve.serving.config.message import read_options
from camserve.serving.config.named_options import changed_options
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.live.server import open_live_server
from camserve.serving.publishing.delivery import Publication, deliver
from camserve.serving.publishing.draft import Draft
from camserve.serving.repository.ledger import read_published
from camserve.serving.repository.lock import LOCK_SECONDS
from camserve.tls import ClientTls

__all__ = ["Publication", "publish"]


def publish(
    bundle: Bundle | str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    options: ServingOptions | Mapping[str, Any] | None = None,
    backend: Backend | None = None,
    allow_contract_change: bool = False,
    url: str | None = None,
    admin_key: str | None = None,
    tls: ClientTls | None = None,
    wait: float = LOCK_SECONDS,
    progress: Progress | None = None,
) -> Publication:
    """Publish a bundle as the next version of a model.

    The bundle is verified against its manifest, copied to a staging area, loaded in the runtime of its backend, checked
    with its golden answers, flushed to the disk and only then renamed into the repository, by one publisher at a time.
    Version numbers are never reused. If publishing fails, no version is left behind and the previous one stays in
    service.

    Args:
        bundle: The bundle or its folder.
        repository: The repository's folder; created if it does not exist.
        name: Name of the model in the repository (default: the name in the bundle).
        options: Serving options, which apply to all versions of the model: a `ServingOptions`, or only the options to
            change, by name. Other options of a published model stay unchanged; a new model gets the defaults.
        backend: `onnxruntime` and `openvino` serve the ONNX file, `tensorflow` the SavedModel (default: `openvino` for
            a bundle of precision bf16, or else `onnxruntime`).
        allow_contract_change: Publish even if the contract or the labels change for clients.
        url: gRPC address `host:port` of a Triton in explicit mode that serves this repository. It loads the version and
            must reproduce the golden answers; otherwise the previous version is restored.
        admin_key: Admin key of that server, if it has one.
        tls: TLS files for the connection to it (default: no encryption).
        wait: Seconds to wait for another publisher.
        progress: Called with the name of each phase when it starts.

    Returns:
        The published version.

    Raises:
        BundleError: If the bundle is incomplete, was changed, lacks the format of the backend, or does not load or
            reproduce its golden answers.
        RepositoryError: If the repository cannot be written, or the contract or the labels of the model would change.
        ServerError: If the server does not answer, or does not serve the new version correctly.
        UsageError: If the name or an option is invalid.
    """
    changes = options if isinstance(options, ServingOptions) else dict(options or {})
    source = load_bundle(bundle.path if isinstance(bundle, Bundle) else bundle)
    contract = source.contract.model_copy(
        update={"name": check_model_name(source.contract.name if name is None else name)}
    )
    published = None
    if not isinstance(changes, ServingOptions):
        # Reports invalid options early, before anything is copied or locked.
        published = read_published(Path(repository).expanduser() / contract.name)
        changed_options(read_options(published.config) if published else {}, changes)

    def make_draft(root: Path) -> Draft:
        model = root / contract.name
        current = read_published(model, known=published)
        chosen = backend or default_backend(source.precision)
        return Draft(model, current, contract, source, changes, chosen, allow_contract_change)

    with open_live_server(url, admin_key=admin_key, tls=tls) as server:
        purpose = f"publishing {contract.name}"
        return deliver(repository, purpose, make_draft, server=server, wait=wait, progress=progress)
