"""Removing versions that nobody needs any more, oldest first, and never one that is served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import RepositoryError, UsageError
from camserve.progress import Progress
from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.config.pinning import pin
from camserve.serving.repository.durable import remove_tree, rename, write_text
from camserve.serving.repository.ledger import PublishedModel, config_text, read_published, write_ledger
from camserve.serving.repository.leftovers import take_out_abandoned
from camserve.serving.repository.listing import ModelEntry, list_models, open_repository
from camserve.serving.repository.lock import LOCK_SECONDS, locked
from camserve.serving.repository.staging import remove_leftovers, staged
from camserve.serving.repository.unknown_model import unknown_model

__all__ = ["Pruned", "prune"]


@dataclass(frozen=True)
class Pruned:
    """A version that was removed, or would be.

    Attributes:
        model: Its model.
        version: Its number.
        size: Bytes that were freed.
    """

    model: str
    version: int
    size: int


def prune(
    repository: str | Path,
    *,
    keep: int,
    models: Sequence[str] = (),
    served: Mapping[str, Collection[int]] | None = None,
    dry_run: bool = False,
    wait: float = LOCK_SECONDS,
    tell: Progress | None = None,
) -> tuple[Pruned, ...]:
    """Removes the oldest versions of each model, so that `keep` remain.

    A version leaves its model by one replacement of the configuration, is renamed out of the repository and then
    deleted. Its number is not used again. More than `keep` remain where more are served. A version whose folder
    somebody removed by hand is struck off the list.

    Args:
        repository: The repository's folder.
        keep: How many versions of a model remain; at least 1.
        models: Names of models; all of them unless given.
        served: By model, versions that a server holds loaded; they remain, too.
        dry_run: Only say what would be removed.
        wait: Seconds to wait for a publisher.
        tell: Called with who is waited for.

    Raises:
        RepositoryError: If there is no such model, or the repository cannot be written.
        UsageError: If `keep` is below 1.
    """
    if keep < 1:
        raise UsageError(f"{keep} versions to keep is too few", hint="Keep at least 1")
    root = open_repository(repository)
    if dry_run:
        return tuple(_removable(root, keep, models, served or {}))
    try:
        with locked(root, "prunes", wait=wait, tell=tell):
            remove_leftovers(root)
            doomed = _removable(root, keep, models, served or {})
            for name in dict.fromkeys(each.model for each in doomed):
                _remove(root, root / name, [each.version for each in doomed if each.model == name])
            return tuple(doomed)
    except OSError as error:
        raise RepositoryError(f"the repository {root} cannot be written: {error}") from error


def _removable(root: Path, keep: int, names: Sequence[str], served: Mapping[str, Collection[int]]) -> list[Pruned]:
    entries = {entry.name: entry for entry in list_models(root)}
    unknown = [name for name in names if name not in entries]
    if unknown:
        raise unknown_model(root, unknown[0])
    doomed = []
    for name in dict.fromkeys(names) or entries:
        standing = read_published(root / name)
        if standing is not None and standing.ledger:
            _refuse_unserved(name, standing)
            doomed += _oldest(entries[name], standing, keep, served.get(name, ()))
    return doomed


def _refuse_unserved(name: str, standing: PublishedModel) -> None:
    if not standing.served:
        raise RepositoryError(
            f"the version policy of {name} names none of its versions, so that none is known to be needed",
            hint=f"Correct {CONFIG_NAME}, or publish a version: it is served then",
        )


def _oldest(entry: ModelEntry, standing: PublishedModel, keep: int, served: Collection[int]) -> list[Pruned]:
    """Of the versions that nobody needs, those whose folder is gone, and the oldest of the others."""
    needed = {*entry.served, *standing.served, *served}
    there = {version.number: version.size for version in entry.versions if version.number in standing.ledger}
    gone = [number for number in sorted(standing.ledger) if number not in there and number not in needed]
    free = [number for number in there if number not in needed][: max(0, len(there) - keep)]
    return [Pruned(entry.name, number, there.get(number, 0)) for number in (*gone, *free)]


def _remove(root: Path, model: Path, numbers: Collection[int]) -> None:
    standing = read_published(model)
    if standing is None:
        raise RepositoryError(f"{model} has lost its {CONFIG_NAME}", hint="Restore it from a copy")
    config = standing.config
    pin(config, standing.served)
    write_ledger(config, standing.ledger, leaving=numbers)
    with staged(root, model) as stage:
        take_out_abandoned(root, stage)
        write_text(stage / CONFIG_NAME, config_text(config, standing.text))
        (stage / CONFIG_NAME).chmod((model / CONFIG_NAME).stat().st_mode & 0o777)
        rename(stage / CONFIG_NAME, model / CONFIG_NAME)
        for number in numbers:
            if not (model / str(number)).exists():
                continue
            rename(model / str(number), stage / str(number))
            remove_tree(stage / str(number))
