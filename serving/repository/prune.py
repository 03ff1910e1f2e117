"""Removing old versions that are not needed, oldest first, never one that is served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import RepositoryError, UsageError
from camserve.progress import Progress
from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.config.pinning import pin
from camserve.serving.repository.durable import remove_tree, rename, replace_text
from camserve.serving.repository.ledger import PublishedModel, config_text, read_published, write_ledger
from camserve.serving.repository.leftovers import move_out_abandoned
from camserve.serving.repository.listing import ModelEntry, check_known_models, list_models, open_repository
from camserve.serving.repository.lock import LOCK_SECONDS, locked
from camserve.serving.repository.staging_area import remove_leftovers, staged
from camserve.text import reason

__all__ = ["Pruned", "prune"]


@dataclass(frozen=True)
class Pruned:
    """A version that was removed, or would be removed.

    Attributes:
        model: Name of its model.
        version: Its number.
        size: Freed bytes.
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
    progress: Progress | None = None,
) -> tuple[Pruned, ...]:
    """Remove the oldest versions of each model, so that `keep` remain.

    A version leaves its model when the configuration is replaced; then its folder is moved out of the repository and
    deleted. Its number is not used again. More than `keep` versions remain if more are served. A version whose folder
    was deleted by hand is removed from the list of versions.

    Args:
        repository: The repository's folder.
        keep: Number of versions that remain of each model; at least 1.
        models: Names of models (default: all).
        served: Versions by model that a running server has loaded; they are kept, too.
        dry_run: Only return what would be removed.
        wait: Seconds to wait for another publisher.
        progress: Called with the holder of the lock if it takes longer to acquire.

    Raises:
        RepositoryError: If a model is unknown, or the repository cannot be written.
        UsageError: If `keep` is below 1.
    """
    if keep < 1:
        raise UsageError(f"keep must be at least 1, got {keep}", hint="Keep at least 1 version: --keep 1")
    root = open_repository(repository)
    if dry_run:
        return tuple(each for pruned in _plan(root, keep, models, served or {}).values() for each in pruned)
    try:
        with locked(root, "pruning", wait=wait, progress=progress):
            remove_leftovers(root)
            plan = _plan(root, keep, models, served or {})
            for published, pruned in plan.items():
                _remove(root, root / pruned[0].model, published, [each.version for each in pruned])
            return tuple(each for pruned in plan.values() for each in pruned)
    except OSError as error:
        raise RepositoryError(f"cannot write to the repository {root}: {reason(error, root)}") from None


def _plan(
    root: Path, keep: int, names: Sequence[str], served: Mapping[str, Collection[int]]
) -> dict[PublishedModel, list[Pruned]]:
    """Return the versions to remove, by model."""
    check_known_models(root, names)
    entries = {entry.name: entry for entry in list_models(root)}
    plan = {}
    for name in dict.fromkeys(names) or entries:
        if not names and entries[name].image_files_of is not None:
            continue
        published = read_published(root / name)
        if published is None or not published.ledger:
            continue
        _refuse_unserved(name, published)
        if pruned := _unneeded(entries[name], published, keep, served.get(name, ())):
            plan[published] = pruned
    return plan


def _refuse_unserved(name: str, published: PublishedModel) -> None:
    if not published.served:
        raise RepositoryError(
            f"the version policy of {name} serves none of its versions, so none is known to be needed",
            hint=f"Correct {CONFIG_NAME}, or publish a new version",
        )


def _unneeded(entry: ModelEntry, published: PublishedModel, keep: int, served: Collection[int]) -> list[Pruned]:
    """Return the versions whose folder is missing, and the oldest of the others, without those that are needed."""
    needed = {*entry.served, *published.served, *served}
    sizes = {version.number: version.size for version in entry.versions if version.number in published.ledger}
    missing = [number for number in sorted(published.ledger) if number not in sizes and number not in needed]
    oldest = [number for number in sizes if number not in needed][: max(0, len(sizes) - keep)]
    return [Pruned(entry.name, number, sizes.get(number, 0)) for number in (*missing, *oldest)]


def _remove(root: Path, model: Path, published: PublishedModel, numbers: Collection[int]) -> None:
    config = published.config
    pin(config, published.served)
    write_ledger(config, published.ledger, leaving=numbers)
    with staged(root, model) as stage:
        move_out_abandoned(root, stage, {model.name: published})
        replace_text(model / CONFIG_NAME, config_text(config, published.text), stage=stage)
        for number in numbers:
            if (model / str(number)).exists():
                rename(model / str(number), stage / str(number))
                remove_tree(stage / str(number))
