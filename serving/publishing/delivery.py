"""The way of every new version into a repository, whether a bundle or an older version is its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from camserve.bundle import ONNX_NAME
from camserve.errors import RepositoryError
from camserve.progress import Progress, no_progress
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.draft import Draft, read_draft_golden, write_version
from camserve.serving.publishing.going_live import go_live
from camserve.serving.publishing.onnx_check import check_servable
from camserve.serving.publishing.placing import Placed, place
from camserve.serving.publishing.predecessor import find_predecessor
from camserve.serving.repository.leftovers import take_out_abandoned
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.lock import LOCK_NAME, LOCK_SECONDS, locked
from camserve.serving.repository.staging import remove_leftovers, staged

__all__ = ["Publication", "deliver"]


@dataclass(frozen=True)
class Publication:
    """A published version.

    Attributes:
        name: The model.
        version: The number.
        path: Its folder.
        url: The server that was seen to answer with it; None where none was asked.
        served: Whether the model's version policy has it served.
        again: The older version that it is once more; None where a bundle was published.
    """

    name: str
    version: int
    path: Path
    url: str | None = None
    served: bool = True
    again: int | None = None


def deliver(
    repository: str | Path,
    purpose: str,
    draft_of: Callable[[Path], Draft],
    *,
    server: LiveServer | None,
    wait: float = LOCK_SECONDS,
    progress: Progress | None = None,
) -> Publication:
    """Publishes a draft under the repository's lock: wholly, or not at all.

    Args:
        repository: The repository's folder; made if it does not exist.
        purpose: What for; those who wait for the lock are told.
        draft_of: Says what to publish, given the repository's folder, once the lock is held.
        server: Where to load it.
        wait: Seconds to wait for another publisher.
        progress: Called with the name of each phase as it begins.

    Raises:
        BundleError: If the source is incomplete, altered, or does not answer as it did at its export.
        RepositoryError: If the repository cannot be written, or the model there is another.
        ServerError: If the server does not answer with the new version; it was put back then.
    """
    begin = progress or no_progress
    with _writable(repository, purpose, wait, begin) as root:
        remove_leftovers(root)
        draft = draft_of(root)
        _refuse_link(draft.model)
        with staged(root, draft.model) as stage:
            take_out_abandoned(root, stage)
            return _deliver(root, stage, draft, server, begin)


def _deliver(root: Path, stage: Path, draft: Draft, server: LiveServer | None, begin: Progress) -> Publication:
    standing = find_predecessor(draft)
    begin("copy, and load once")
    golden, version = read_draft_golden(draft), stage / "version"
    manifest = write_version(version, draft)
    if draft.backend == "onnxruntime":
        check_servable(version / ONNX_NAME, draft.contract, golden, tolerance=draft.tolerance)
    before = () if server is None else server.served().get(draft.model.name, ())
    begin("rename into the repository")
    placed = place(root, stage, version, manifest, draft, standing=standing)
    with placed.undo:  # from here on whatever goes wrong, an interruption too, puts back what stood
        if server is not None:
            begin(f"load on {server.url}, compare its answers")
            _refuse_unserved(placed, draft, server)
            go_live(server, placed, draft, golden, before=before)
        placed.undo.pop_all()
    return Publication(
        draft.model.name,
        placed.number,
        draft.model / str(placed.number),
        url=None if server is None else server.url,
        served=placed.served,
        again=draft.again,
    )


def _refuse_unserved(placed: Placed, draft: Draft, server: LiveServer) -> None:
    if not placed.served:
        raise RepositoryError(
            f"version {placed.number} of {draft.model.name} cannot be tried on {server.url}: its version policy does "
            "not serve it",
            hint="Leave out --url, or publish it with the policy that serves the latest",
        )


def _refuse_link(model: Path) -> None:
    if model.is_symlink():
        raise RepositoryError(
            f"{model} is a link, and a version would be written to where it leads",
            hint="Put the model's folder itself into the repository, or publish under another name",
        )


@contextmanager
def _writable(repository: str | Path, purpose: str, wait: float, tell: Progress) -> Iterator[Path]:
    path = Path(repository).expanduser().resolve()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        root = open_repository(path, create=True)
        with locked(root, purpose, wait=wait, tell=tell):
            try:
                yield root
            except BaseException:
                if missing and [each.name for each in root.iterdir()] == [LOCK_NAME]:
                    (root / LOCK_NAME).unlink()  # while it is held, so that nobody else begins to use it
                raise
    except BaseException as error:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        if isinstance(error, OSError):
            raise RepositoryError(f"the repository {path} cannot be written: {error}") from error
        raise
