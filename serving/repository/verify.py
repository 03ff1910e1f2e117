"""Whether everything in a repository is as camserve wrote it: every file against its hash."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import CamserveError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest, manifest_faults
from camserve.progress import Progress
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.repository.allocation import NUMBERS_NAME, read_numbers
from camserve.serving.repository.ledger import read_ledger
from camserve.serving.repository.leftovers import abandoned_versions
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.seal import is_sealed
from camserve.serving.repository.staging import STAGE_NAME
from camserve.serving.repository.version_numbers import parse_version, version_folders

__all__ = ["Fault", "Verification", "verify_repository"]

_LOOKS = 5
_BY_HAND = (
    "is not as camserve wrote it. Options may be edited by hand: where that was done and meant, take it for right with "
    "camserve repository verify --accept {model}; otherwise restore the file from a copy"
)


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be.

    Attributes:
        path: The file or folder, relative to the repository.
        what: What is wrong with it, in words.
    """

    path: str
    what: str


@dataclass(frozen=True)
class Verification:
    """What a look at every file found.

    Attributes:
        models: Number of models looked at.
        files: Number of files.
        size: Their bytes.
        faults: What is wrong.
        notes: What is worth knowing and does no harm: leftovers, models of other origin.
    """

    models: int
    files: int
    size: int
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]


def verify_repository(repository: str | Path, *, progress: Progress | None = None) -> Verification:
    """Holds every version to its manifest, every manifest to its model's ledger, and every configuration to its seal.

    A changed bit, a file or version that was added, removed or renamed is a fault. Somebody who changes a file and
    its hashes is not found out: this tells damage, not forgery.

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
            found, known = _steady_look(root, model)
            faults += found
            notes += known
        sizes = [size for model in folders for size in _file_sizes(model)]
        return Verification(len(folders), len(sizes), sum(sizes), tuple(faults), tuple(notes))
    except OSError as error:
        raise RepositoryError(f"the repository {root} cannot be read: {error}") from error


def _root_faults(root: Path) -> Iterator[Fault]:
    # Looked for before the numbers are read: a publisher notes a number first.
    published = sorted(
        path.parent.parent.name for path in root.glob(f"*/*/{MANIFEST_NAME}") if _is_version(path.parent)
    )
    try:
        known = read_numbers(root)
    except RepositoryError as error:
        yield Fault(NUMBERS_NAME, f"{error.message}. {error.hint}")
    else:
        if missing := [name for name in dict.fromkeys(published) if name not in known]:
            yield Fault(NUMBERS_NAME, f"has forgotten {', '.join(missing)}; the next version of each sets it right")


def _is_version(folder: Path) -> bool:
    return parse_version(folder.name) is not None and (folder.parent / CONFIG_NAME).is_file()


def _abandoned(root: Path) -> frozenset[Path]:
    try:
        return frozenset(abandoned_versions(root))
    except RepositoryError:
        return frozenset()


def _steady_look(root: Path, model: Path) -> tuple[list[Fault], list[Fault]]:
    """Looks again where a publisher changed the model meanwhile; what is wrong must be so twice in a row."""
    seen: tuple[list[Fault], list[Fault]] = ([Fault(model.name, "changes while it is looked at; look again")], [])
    for _ in range(_LOOKS):
        before = _content(model / CONFIG_NAME)
        try:
            found = _look(model, _abandoned(root))
        except FileNotFoundError:
            if not model.exists():
                return [], []
            continue
        if _content(model / CONFIG_NAME) == before and (not found[0] or found == seen):
            return found
        seen = found
    return seen


def _file_sizes(folder: Path) -> Iterator[int]:
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # it was pruned meanwhile
                status = (Path(path) / name).lstat()
                if stat.S_ISREG(status.st_mode):
                    yield status.st_size


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _look(model: Path, abandoned: frozenset[Path]) -> tuple[list[Fault], list[Fault]]:
    path = model / CONFIG_NAME
    here = f"{model.name}/{CONFIG_NAME}"
    if model.is_symlink():
        return [Fault(model.name, "is a link")], []
    leftovers = [Fault(f"{model.name}/{STAGE_NAME}", _LEFTOVER)] if (model / STAGE_NAME).exists() else []
    if not path.is_file() or path.is_symlink():
        leftovers += [Fault(_relative(each), _LEFTOVER) for each in sorted(abandoned) if each.parent == model]
        if all(each.name == STAGE_NAME or each in abandoned for each in model.iterdir()):
            return [], leftovers or [Fault(model.name, "is empty, and Triton takes it for a model that it cannot load")]
        return [Fault(model.name, f"has no {CONFIG_NAME}; Triton takes every folder for a model")], leftovers
    try:
        text = path.read_bytes().decode("utf-8")
        config = read_config(path)
        ledger = read_ledger(config, model)
    except (CamserveError, UnicodeDecodeError) as error:
        return [Fault(here, f"cannot be read, and cannot be loaded by Triton: {error}")], leftovers
    if CONTRACT_PARAMETER not in config.parameters and not ledger and "camserve" not in text:
        return [], [Fault(model.name, "was not published by camserve, and has no hashes to hold it to")]
    faults = [] if is_sealed(text) else [Fault(here, _BY_HAND.format(model=model.name))]
    faults += _version_faults(model, ledger, abandoned)
    return faults, leftovers + [Fault(_relative(each), _LEFTOVER) for each in sorted(abandoned) if each.parent == model]


_LEFTOVER = "is left over from a publisher that was killed, unless one is at work; the next one removes it"


def _version_faults(model: Path, ledger: dict[int, str], abandoned: frozenset[Path]) -> Iterator[Fault]:
    folders = version_folders(model)
    for number in sorted(ledger.keys() - folders.keys()):
        yield Fault(f"{model.name}/{number}", "is missing, with all its files")
    for number in sorted(ledger.keys() & folders.keys()):
        yield from _one_version(folders[number], ledger[number])
    for path in sorted(model.iterdir()):
        known = path.name in (CONFIG_NAME, STAGE_NAME) or path in abandoned
        if not known and (path.name not in {str(number) for number in ledger} or path.is_symlink()):
            yield Fault(_relative(path), "does not belong there: it is in no list of camserve's")


def _one_version(folder: Path, manifest: str) -> Iterator[Fault]:
    here = f"{folder.parent.name}/{folder.name}"
    yield from (Fault(here, what) for what in manifest_faults(folder))
    path = folder / MANIFEST_NAME
    if path.is_file() and file_digest(path) != manifest:
        yield Fault(f"{here}/{MANIFEST_NAME}", "is not the one that the model was published with")


def _relative(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
