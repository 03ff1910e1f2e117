"""Changes of a model's contract that break its clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from camserve.contract import ModelContract

__all__ = ["contract_breaks"]


def contract_breaks(
    known: ModelContract,
    new: ModelContract,
    *,
    known_labels: Sequence[str] | None,
    new_labels: Sequence[str],
) -> tuple[str, ...]:
    """Describe every change of a contract that breaks clients.

    An added output breaks nothing: clients request outputs by name.

    Args:
        known: The contract of the version that is served.
        new: The contract of the next version.
        known_labels: Labels of the served version, one per class; None if they are unknown.
        new_labels: Labels of the next version.
    """
    return tuple(_changes(known, new)) or tuple(_label_changes(known_labels, new_labels))


def _changes(known: ModelContract, new: ModelContract) -> Iterator[str]:
    for part in ("input", "preprocessing", "activation", "classes"):
        if getattr(known, part) != getattr(new, part):
            yield f"{part} changes"
    if new.version > known.version:
        yield f"contract version {known.version} becomes {new.version}, which clients of earlier releases refuse"
    for output in known.outputs:
        if new.output(output.name) is None:
            yield f"output {output.name} is removed"
        elif new.output(output.name) != output:
            yield f"output {output.name} changes"


def _label_changes(known: Sequence[str] | None, new: Sequence[str]) -> Iterator[str]:
    if known is None or tuple(known) == tuple(new):
        return
    for index, (old_label, new_label) in enumerate(zip(known, new, strict=False)):
        if old_label != new_label:
            yield f"labels change: class {index} changes from {old_label!r} to {new_label!r}"
            return
    yield f"labels change: {len(known)} become {len(new)}"
