"""What changes under the clients of a model when its next version follows another contract."""

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
    """In what a new version breaks with what clients rely on, each in a few words.

    An output more breaks nothing: clients ask for outputs by name.

    Args:
        known: The contract that clients know.
        new: The one they meet.
        known_labels: The labels they know, one per class; None where nobody says.
        new_labels: Those they meet.
    """
    return tuple(_breaks(known, new)) or tuple(_relabelled(known_labels, new_labels))


def _breaks(known: ModelContract, new: ModelContract) -> Iterator[str]:
    for part in ("input", "preprocessing", "activation", "classes"):
        if getattr(known, part) != getattr(new, part):
            yield f"{part} changes"
    for output in known.outputs:
        if new.output(output.name) is None:
            yield f"output {output.name} is gone"
        elif new.output(output.name) != output:
            yield f"output {output.name} changes"


def _relabelled(known: Sequence[str] | None, new: Sequence[str]) -> Iterator[str]:
    if known is None or tuple(known) == tuple(new):
        return
    pairs = enumerate(zip(known, new, strict=False))
    changed = next((f"class {i}, {old!r}, becomes {fresh!r}" for i, (old, fresh) in pairs if old != fresh), None)
    yield f"labels change: {changed or 'their number'}"
