"""Verification of a repository: every file against its checksum."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import CamserveError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest, manifest_faults
from camserve.progress import Progress
from camserve.regular_file import read_regular_file
from camserve.serving.config.message import CONFIG_NAME, parse_config
from camserve.serving.repository.allocation import NUMBERS_NAME, read_numbers
from camserve.serving.repository.ledger import read_ledger
from camserve.serving.repository.leftovers import abandoned_versions
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.seal import is_sealed
from camserve.serving.repository.staging_area import STAGE_NAME
from camserve.serving.repository.version_numbers import parse_version, version_folders
from camserve.text import reason

__all__ = ["Fault", "Verification", "verify_repository"]

_ATTEMPTS = 5
_EDITED = (
    "was changed after camserve wrote it. If it was edited by hand on purpose, accept the change with: "
    "camserve repository verify --repository {repository} --accept {model}. Otherwise restore the file from a backup"
)
_LEFTOVER = "was left behind by a publisher that was killed, or is in use by one; the next publisher removes it"


@dataclass(frozen=True)
class Fault:
    """A difference between the repository and what camserve wrote.

    Attributes:
        path: The file or folder, relative to the repository.
        what: What is wrong with it.
    """

    path: str
    what: str


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Attributes:
        models: Number of models.
        files: Number of files.
        size: Their total size in bytes.
        faults: What is wrong.
        notes: Harmless findings: leftovers, models that camserve did not publish.
    """

    models: int
    files: int
    size: int
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]


def verify_repository(repository: str | Path, *, progress: Progress | None = None) -> Verification:
    """Verify every version against its manifest, every manifest against its model, and every configuration's seal.

    A changed bit is a fault, and so is a file or version that was added, removed or renamed. The checksums detect
    damage, not forgery: a change of a file together with all its checksums is not found.

    Args:
        repository: The repository's folder; nothing is written to it.
        progress: Called with the name of each model.

    Raises:
        RepositoryError: If the repository cannot be read.
    """
    root = open_repository(repository)
    faults: list[Fault] = list(_root_faults(root))
    notes: list[Fault] = []
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() or path.is_symlink())
        for model in folders:
            if progress is not None:
                progress(model.name)
            model_faults, model_notes = _verify_model(root, model)
            faults += model_faults
            notes += model_notes
        sizes = [size for model in folders for size in _file_sizes(model)]
        return Verification(len(folders), len(sizes), sum(sizes), tuple(faults), tuple(notes))
    except OSError as error:
        raise RepositoryError(f"cannot read the repository {root}: {reason(error, root)}") from None


def _root_faults(root: Path) -> Iterator[Fault]:
    # The versions are listed before the numbers are read: a publisher records a number first.
    published = sorted(
        path.parent.parent.name for path in root.glob(f"*/*/{MANIFEST_NAME}") if _is_version(path.parent)
    )
    try:
        known = read_numbers(root)
    except RepositoryError as error:
        yield Fault(NUMBERS_NAME, f"{error.message}. {error.hint}")
    else:
        if missing := [name for name in dict.fromkeys(published) if name not in known]:
            yield Fault(NUMBERS_NAME, f"lacks {', '.join(missing)}; publishing the next version of each restores it")


def _is_version(folder: Path) -> bool:
    return parse_version(folder.name) is not None and (folder.parent / CONFIG_NAME).is_file()


def _verify_model(root: Path, model: Path) -> tuple[list[Fault], list[Fault]]:
    """Return faults and notes, and repeat if a publisher changed the model: a fault must be found twice in a row."""
    last: tuple[list[Fault], list[Fault]] = ([Fault(model.name, "is being changed; verify it again later")], [])
    for _ in range(_ATTEMPTS):
        before = _content(model / CONFIG_NAME)
        try:
            found = _inspect(model, before, _abandoned(root, model))
        except FileNotFoundError:
            if not model.exists():
                return [], []
            continue
        if _content(model / CONFIG_NAME) == before and (not found[0] or found == last):
            return found
        last = found
    return last


def _abandoned(root: Path, model: Path) -> list[Path]:
    try:
        allocated = read_numbers(root).get(model.name)
        return [] if allocated is None else sorted(abandoned_versions(model, allocated))
    except RepositoryError:
        return []


def _file_sizes(folder: Path) -> Iterator[int]:
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # pruned in the meantime
                status = (Path(path) / name).lstat()
                if stat.S_ISREG(status.st_mode):
                    yield status.st_size


def _content(path: Path) -> bytes | None:
    try:
        return read_regular_file(path)
    except OSError:
        return None


def _inspect(model: Path, content: bytes | None, abandoned: Collection[Path]) -> tuple[list[Fault], list[Fault]]:
    path = model / CONFIG_NAME
    name = f"{model.name}/{CONFIG_NAME}"
    if model.is_symlink():
        return [Fault(model.name, "is a link")], []
    notes = [Fault(f"{model.name}/{STAGE_NAME}", _LEFTOVER)] if (model / STAGE_NAME).exists() else []
    notes += [Fault(_relative(each), _LEFTOVER) for each in abandoned]
    if not path.is_file() or path.is_symlink():
        if all(each.name == STAGE_NAME or each in abandoned for each in model.iterdir()):
            return [], notes or [Fault(model.name, "is empty; Triton treats it as a model that fails to load")]
        return [Fault(model.name, f"has no {CONFIG_NAME}; Triton treats every folder as a model")], notes
    try:
        text = _decode(content)
        config = parse_config(text, path)
        ledger = read_ledger(config, path)
    except (CamserveError, UnicodeDecodeError) as error:
        return [Fault(name, f"cannot be read, so Triton cannot load the model: {error}")], notes
    if CONTRACT_PARAMETER not in config.parameters and not ledger and "camserve" not in text:
        return [], [Fault(model.name, "was not published by camserve and has no checksums")]
    edited = _EDITED.format(repository=shlex.quote(str(model.parent)), model=model.name)
    faults = [] if is_sealed(text) else [Fault(name, edited)]
    return [*faults, *_version_faults(model, ledger, abandoned)], notes


def _decode(content: bytes | None) -> str:
    if content is None:
        raise RepositoryError("it cannot be opened")
    return content.decode("utf-8")


def _version_faults(model: Path, ledger: Mapping[int, str], abandoned: Collection[Path]) -> Iterator[Fault]:
    folders = version_folders(model)
    for number in sorted(ledger.keys() - folders.keys()):
        yield Fault(f"{model.name}/{number}", "is missing, with all its files")
    for number in sorted(ledger.keys() & folders.keys()):
        yield from _folder_faults(folders[number], ledger[number])
    for path in sorted(model.iterdir()):
        known = path.name in (CONFIG_NAME, STAGE_NAME) or path in abandoned
        if not known and (path.name not in {str(number) for number in ledger} or path.is_symlink()):
            yield Fault(_relative(path), "does not belong there: camserve did not write it")


def _folder_faults(folder: Path, manifest: str) -> Iterator[Fault]:
    name = f"{folder.parent.name}/{folder.name}"
    yield from (Fault(name, what) for what in manifest_faults(folder))
    path = folder / MANIFEST_NAME
    if path.is_file() and file_digest(path) != manifest:
        yield Fault(f"{name}/{MANIFEST_NAME}", "is not the manifest that the version was published with")


def _relative(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
