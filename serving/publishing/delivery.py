"""Adding a version to a repository, for `publish` and `rollback`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from camserve.bundle import ONNX_NAME
from camserve.errors import RepositoryError
from camserve.parity_report import WidenedTolerance
from camserve.progress import Progress, no_progress
from camserve.serving.config.backends import Backend
from camserve.serving.config.image_files import file_model_name
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.live.backend_messages import Execution
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.activation import activate
from camserve.serving.publishing.arithmetic import arithmetic_warnings
from camserve.serving.publishing.backend_notes import backend_notes
from camserve.serving.publishing.draft import Draft, GoldenFiles, read_draft_golden, write_version
from camserve.serving.publishing.file_model import move_out_orphans
from camserve.serving.publishing.onnx_check import check_servable
from camserve.serving.publishing.predecessor import check_predecessor
from camserve.serving.publishing.version_placement import Placement, place
from camserve.serving.repository.export_facts import read_export_facts
from camserve.serving.repository.leftovers import move_out_abandoned
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.lock import LOCK_NAME, LOCK_SECONDS, locked
from camserve.serving.repository.staging_area import remove_leftovers, staged
from camserve.text import reason

__all__ = ["Publication", "deliver"]


@dataclass(frozen=True)
class Publication:
    """A published version.

    Attributes:
        name: Name of the model.
        version: The version number.
        path: The version's folder.
        url: The server that serves it with correct answers; None if no server was involved.
        served: Whether the version policy of the model serves it.
        source_version: The older version that it republishes; None if a bundle was published.
        widened: The metrics whose tolerances were widened at export.
        provider: The execution provider that runs it on that server, such as `CUDA` or `CPU`; None if it is unknown.
        backend: Triton's backend that runs it.
        file_model: The model that takes image files for it; None if it is published without.
        warnings: What else the publisher should know, such as the arithmetic of GPUs, each in one sentence.
    """

    name: str
    version: int
    path: Path
    url: str | None = None
    served: bool = True
    source_version: int | None = None
    widened: tuple[WidenedTolerance, ...] = ()
    provider: str | None = None
    backend: Backend = "onnxruntime"
    file_model: str | None = None
    warnings: tuple[str, ...] = ()


def deliver(
    repository: str | Path,
    purpose: str,
    make_draft: Callable[[Path], Draft],
    *,
    server: LiveServer | None,
    wait: float = LOCK_SECONDS,
    progress: Progress | None = None,
) -> Publication:
    """Publish a draft under the repository's lock, atomically.

    Args:
        repository: The repository's folder; created if it does not exist.
        purpose: What the lock is held for; shown to others that wait for it.
        make_draft: Returns the draft, called with the repository's folder once the lock is held.
        server: Server to load the version on.
        wait: Seconds to wait for another publisher.
        progress: Called with the name of each phase when it starts.

    Raises:
        BundleError: If the source is incomplete, was changed, or does not give the answers of its export.
        RepositoryError: If the repository cannot be written, or the published model is a different one.
        ServerError: If the server does not serve the new version correctly; the version was rolled back then.
    """
    report = progress or no_progress
    with _writable(repository, purpose, wait, report) as root:
        remove_leftovers(root)
        draft = make_draft(root)
        _refuse_link(draft.model)
        with staged(root, draft.model) as stage:
            move_out_abandoned(root, stage, {draft.model.name: draft.published})
            move_out_orphans(root, stage)
            return _deliver(root, stage, draft, server, report)


def _deliver(root: Path, stage: Path, draft: Draft, server: LiveServer | None, report: Progress) -> Publication:
    check_predecessor(draft)
    report("copy and verify")
    golden, version = read_draft_golden(draft), stage / "version"
    manifest = write_version(version, draft)
    unverified = () if draft.backend == "tensorflow" else _check_file(version / ONNX_NAME, draft, golden)
    before = () if server is None else server.served().get(draft.model.name, ())
    report("add to the repository")
    placement, execution = place(root, stage, version, manifest, draft), Execution()
    with placement.undo:  # any failure from here on, an interruption included, restores the previous state
        if server is not None:
            report(f"load on {server.url} and compare answers")
            _refuse_unserved(placement, draft, server)
            execution = activate(server, placement, draft, golden, before=before)
        placement.undo.pop_all()
    path = draft.model / str(placement.number)
    parity = read_export_facts(path).parity
    return Publication(
        draft.model.name,
        placement.number,
        path,
        url=None if server is None else server.url,
        served=placement.served,
        source_version=draft.source_version,
        widened=() if parity is None else parity.widened,
        provider=execution.provider,
        backend=draft.backend,
        file_model=file_model_name(draft.model.name) if draft.image_files else None,
        warnings=(
            *backend_notes(draft, execution.provider),
            *placement.warnings,
            *unverified,
            *execution.warnings,
            *arithmetic_warnings(read_config(draft.model / CONFIG_NAME), precision=draft.precision),
        ),
    )


def _check_file(path: Path, draft: Draft, golden: GoldenFiles) -> tuple[str, ...]:
    """Check the file in the runtime of its backend, and return what could not be verified on this host."""
    return check_servable(
        path,
        draft.contract,
        golden,
        tolerance=draft.tolerance,
        backend=draft.backend,
        precision=draft.precision,
    )


def _refuse_unserved(placement: Placement, draft: Draft, server: LiveServer) -> None:
    if not placement.served:
        raise RepositoryError(
            f"version {placement.number} of {draft.model.name} cannot be tested on {server.url}: the version policy "
            "does not serve it",
            hint="Publish without --url, or serve the newest version with --latest-versions 1",
        )


def _refuse_link(model: Path) -> None:
    if model.is_symlink():
        raise RepositoryError(
            f"{model} is a link, so the version would be written to its target",
            hint="Move the model's folder itself into the repository, or publish under another name with --name",
        )


@contextmanager
def _writable(repository: str | Path, purpose: str, wait: float, progress: Progress) -> Iterator[Path]:
    path = Path(repository).expanduser().resolve()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        root = open_repository(path, create=True)
        with locked(root, purpose, wait=wait, progress=progress):
            try:
                yield root
            except BaseException:
                if missing and [each.name for each in root.iterdir()] == [LOCK_NAME]:
                    (root / LOCK_NAME).unlink()  # while locked, so that no other process starts to use it
                raise
    except BaseException as error:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        if isinstance(error, OSError):
            raise RepositoryError(
                f"cannot write to the repository {path}: {reason(error, path)}",
                hint="Check its permissions and the free disk space",
            ) from None
        raise
