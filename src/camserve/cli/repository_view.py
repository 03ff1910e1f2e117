"""How the commands of `camserve repository` show what they found: as tables, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camserve.cli.console import note, print_table, say
from camserve.errors import UsageError

if TYPE_CHECKING:
    from camserve.serving import ModelEntry, VersionEntry
    from camserve.serving.repository.prune import Pruned
    from camserve.serving.repository.verify import Verification

__all__ = [
    "documents",
    "pruned_document",
    "show",
    "show_pruned",
    "show_verification",
    "verification_document",
    "version_number",
]

_DIGEST_SHOWN = 12

Ready = Mapping[str, Sequence[int]]


def version_number(text: str) -> int:
    """The version that somebody typed.

    Raises:
        UsageError: If it is none: `0`, `01`, `-1`, `1.0`.
    """
    from camserve.serving.repository.version_numbers import parse_version

    number = parse_version(text)
    if number is None:
        raise UsageError(f"{text!r} is no version", hint="Give a whole number from 1 on, without zeros before it")
    return number


def documents(models: Sequence[ModelEntry], ready: Ready | None) -> list[dict[str, Any]]:
    """Models as JSON shows them; `ready` by version where a server was asked."""
    return [
        {"name": model.name, "versions": [_version_document(model.name, each, ready) for each in model.versions]}
        for model in models
    ]


def show(models: Sequence[ModelEntry], ready: Ready | None) -> None:
    """Prints the table of models and versions, and names what the server has besides."""
    columns = ["model", "version ", "served", "precision", "MB ", "published (UTC)", "source", "parity"]
    if ready is not None:
        columns.insert(3, "ready")
    print_table(columns, [_row(model.name, each, ready) for model in models for each in model.versions])
    known = {(model.name, version.number) for model in models for version in model.versions}
    for name, numbers in (ready or {}).items():
        for number in numbers:
            if (name, number) not in known:
                note(f"the server answers for {name}, version {number}, too, which is not in this repository")


def verification_document(found: Verification) -> dict[str, Any]:
    """A verification as JSON shows it."""
    document = asdict(found)
    document["bytes"] = document.pop("size")
    return {"sound": not found.faults, **document}


def show_verification(found: Verification) -> None:
    """Prints each fault, and how much was looked at."""
    for fault in found.faults:
        say(f"{fault.path}: {fault.what}")
    for known in found.notes:
        note(f"note: {known.path} {known.what}")
    looked_at = f"{found.files} files of {_counted(found.models, 'model')}, {found.size / 1e6:.1f} MB"
    faults = f"{_counted(len(found.faults), 'fault')} in"
    say(f"{faults if found.faults else 'every file is as it was written:'} {looked_at}")


def pruned_document(removed: Sequence[Pruned], *, dry_run: bool) -> dict[str, Any]:
    """What was removed as JSON shows it."""
    versions = [{"model": each.model, "version": each.version, "bytes": each.size} for each in removed]
    return {"dry_run": dry_run, "removed": versions, "bytes": sum(each.size for each in removed)}


def show_pruned(removed: Sequence[Pruned], repository: Path, *, dry_run: bool) -> None:
    """Prints what was removed and how much room that made."""
    if not removed:
        say(f"nothing to remove in {repository}")
        return
    print_table(
        ("model", "version ", "MB "), [(each.model, each.version, f"{each.size / 1e6:.1f}") for each in removed]
    )
    freed = f"{sum(each.size for each in removed) / 1e6:.1f} MB"
    say(f"{freed} would be freed; nothing was removed" if dry_run else f"{freed} freed")


def _version_document(model: str, version: VersionEntry, ready: Ready | None) -> dict[str, Any]:
    document = {
        "version": version.number,
        "served": version.served,
        "precision": version.precision,
        "bytes": version.size,
        "published": version.published.isoformat(timespec="seconds"),
        "source": version.source,
        "parity": None if version.parity is None else asdict(version.parity),
    }
    return document if ready is None else {**document, "ready": version.number in ready.get(model, ())}


def _row(model: str, version: VersionEntry, ready: Ready | None) -> list[object]:
    parity = "-" if version.parity is None else f"{version.parity.figure} {version.parity.share:.0%} of its bound"
    row: list[object] = [
        model,
        version.number,
        _said(version.served),
        version.precision or "-",
        f"{version.size / 1e6:.1f}",
        f"{version.published:%Y-%m-%d %H:%M}",
        (version.source or "-")[:_DIGEST_SHOWN],
        parity,
    ]
    if ready is not None:
        row.insert(3, _said(version.number in ready.get(model, ())))
    return row


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _said(yes: bool) -> str:
    return "yes" if yes else "no"
