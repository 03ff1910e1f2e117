"""What a publisher should know about the backend of a version."""

from __future__ import annotations

from camserve.serving.config.backends import backend_of
from camserve.serving.config.openvino import PRECISION, pinned_precision
from camserve.serving.publishing.draft import Draft

__all__ = ["OWN_BACKEND", "backend_notes"]

OWN_BACKEND = "Use that of camserve there: camserve repository backend --backend openvino --out DIR"
"""What to do where Triton's own OpenVINO backend would compute in another precision."""

_NOT_PINNED = (
    "Triton's own OpenVINO backend, in NVIDIA's container, computes it in bf16 on processors with AMX or AVX512-BF16, "
    f"since float32 cannot be pinned there. {OWN_BACKEND}"
)


def backend_notes(draft: Draft, provider: str | None) -> tuple[str, ...]:
    """List what is new about the backend with this version.

    Args:
        draft: What is published.
        provider: What camserve's backend on the server reports that it runs on; None if no server was involved, or one
            with another backend.
    """
    notes = []
    before = None if draft.published is None else draft.published.config
    if before is not None and (previous := backend_of(before)) != draft.backend:
        notes.append(f"it runs on the backend {draft.backend} now, and ran on {previous} before")
    pinned = pinned_precision(draft.precision) if draft.backend == "openvino" else None
    known = before is not None and PRECISION in before.parameters and before.parameters[PRECISION].string_value == "f32"
    if pinned == "f32" and not known and provider is None:
        notes.append(_NOT_PINNED)
    return tuple(notes)
