"""How the results of `camserve repository` are printed: as tables, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camserve.cli.console import print_line, print_note
from camserve.cli.tables import print_table
from camserve.errors import UsageError
from camserve.text import count, shortened

if TYPE_CHECKING:
    from camserve.serving import ModelEntry, VersionEntry
    from camserve.serving.repository.export_facts import Parity
    from camserve.serving.repository.prune import Pruned
    from camserve.serving.repository.verify import Verification

__all__ = [
    "documents",
    "pruned_document",
    "show",
    "show_pruned",
    "show_verification",
    "verification_document",
    "version_document",
    "version_number",
]

_DIGEST_CHARACTERS = 12
_MOST_OTHERS = 10

Ready = Mapping[str, Sequence[int]]
"""The versions of each model that a server reports as ready."""


def version_number(text: str) -> int:
    """Parse the version of a command line.

    Raises:
        UsageError: If it is not a version number, such as `0`, `01`, `-1` or `1.0`.
    """
    from camserve.serving.repository.version_numbers import parse_version

    number = parse_version(text)
    if number is None:
        raise UsageError(f"invalid version {text!r}", hint="Give a whole number of at least 1, without leading zeros")
    return number


def documents(models: Sequence[ModelEntry], ready: Ready | None) -> list[dict[str, Any]]:
    """Return models as JSON; with `ready` versions if a server was queried."""
    return [
        {
            "name": model.name,
            "image_files_of": model.image_files_of,
            "versions": [version_document(model.name, each, ready) for each in model.versions],
        }
        for model in models
    ]


def show(models: Sequence[ModelEntry], ready: Ready | None) -> None:
    """Print the table of models and versions, and what the server serves besides."""
    columns = ["model", "version ", "served", "precision", "MB ", "published (UTC)", "source", "parity"]
    if ready is not None:
        columns.insert(3, "ready")
    rows = [_row(model.name, each, ready) for model in models for each in model.versions]
    print_table(columns, rows, optional=("source", "parity", "published (UTC)", "precision"))
    known = {(model.name, version.number) for model in models for version in model.versions}
    served = ((name, number) for name, numbers in (ready or {}).items() for number in numbers)
    others = [each for each in served if each not in known]
    for name, number in others[:_MOST_OTHERS]:
        what = f"{shortened(name)}, version {number}"
        print_note(f"The server also serves {what}, which is not in this repository")
    if len(others) > _MOST_OTHERS:
        print_note(f"The server also serves {len(others) - _MOST_OTHERS:,} more that are not in this repository")


def verification_document(verification: Verification) -> dict[str, Any]:
    """Return a verification as JSON."""
    document = asdict(verification)
    document["bytes"] = document.pop("size")
    return {"sound": not verification.faults, **document}


def show_verification(verification: Verification) -> None:
    """Print each fault, and how many files were verified."""
    for fault in verification.faults:
        print_line(f"{fault.path}: {fault.what}")
    for known in verification.notes:
        print_note(f"note: {known.path} {known.what}")
    faults = count(len(verification.faults), "fault") if verification.faults else "no faults"
    files, models = count(verification.files, "file"), count(verification.models, "model")
    print_line(f"{faults} in {files} of {models}, {verification.size / 1e6:.1f} MB")


def pruned_document(removed: Sequence[Pruned], *, dry_run: bool) -> dict[str, Any]:
    """Return what was removed as JSON."""
    versions = [{"model": each.model, "version": each.version, "bytes": each.size} for each in removed]
    return {"dry_run": dry_run, "removed": versions, "bytes": sum(each.size for each in removed)}


def show_pruned(removed: Sequence[Pruned], repository: Path, *, dry_run: bool) -> None:
    """Print what was removed and how much space that freed."""
    if not removed:
        print_line(f"nothing to remove in {repository}")
        return
    print_table(
        ("model", "version ", "MB "), [(each.model, each.version, f"{each.size / 1e6:.1f}") for each in removed]
    )
    freed = f"{sum(each.size for each in removed) / 1e6:.1f} MB"
    print_line(f"{freed} would be freed; nothing was removed" if dry_run else f"{freed} freed")


def version_document(model: str, version: VersionEntry, ready: Ready | None) -> dict[str, Any]:
    """Return a version as JSON; with `ready` if a server was queried."""
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
    parity = "-" if version.parity is None else _parity_text(version.parity)
    row: list[object] = [
        model,
        version.number,
        _yes_or_no(version.served),
        version.precision or "-",
        f"{version.size / 1e6:.1f}",
        f"{version.published:%Y-%m-%d %H:%M}",
        (version.source or "-")[:_DIGEST_CHARACTERS],
        parity,
    ]
    if ready is not None:
        row.insert(3, _yes_or_no(version.number in ready.get(model, ())))
    return row


def _parity_text(parity: Parity) -> str:
    text = f"{parity.figure} {parity.share:.0%} of tolerance"
    if parity.share > 1:  # of a share of few images, which passed because it may be smaller
        text += ", not settled"
    if parity.widened:
        text += f"; widened: {', '.join(dict.fromkeys(each.figure for each in parity.widened))}"
    return text


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
