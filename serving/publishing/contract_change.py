"""What would change under the clients of a model that is served already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from camserve.contract import ModelContract

__all__ = ["contract_breaks"]


def contract_breaks(
    served: ModelContract,
    new: ModelContract,
    *,
    served_labels: Sequence[str] | None,
    new_labels: Sequence[str],
) -> tuple[str, ...]:
    """In what a new version breaks with what clients rely on, each in a few words.

    An output more breaks nothing: clients ask for outputs by name.

    Args:
        served: The contract that clients know.
        new: The one they would meet.
        served_labels: The labels they know, one per class; None where nobody says.
        new_labels: Those they would meet.
    """
    return tuple(_breaks(served, new)) or tuple(_relabelled(served_labels, new_labels))


def _breaks(served: ModelContract, new: ModelContract) -> Iterator[str]:
    for part in ("input", "preprocessing", "activation", "classes"):
        if getattr(served, part) != getattr(new, part):
            yield f"{part} would change"
    for output in served.outputs:
        if new.output(output.name) is None:
            yield f"output {output.name} would be gone"
        elif new.output(output.name) != output:
            yield f"output {output.name} would change"


def _relabelled(served: Sequence[str] | None, new: Sequence[str]) -> Iterator[str]:
    if served is None or tuple(served) == tuple(new):
        return
    pairs = enumerate(zip(served, new, strict=False))
    changed = next((f"class {i}, {old!r}, would be {fresh!r}" for i, (old, fresh) in pairs if old != fresh), None)
    yield f"labels would change: {changed or 'their number'}"
