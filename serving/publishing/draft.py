"""What is to be published, and the folder that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.bundle import CONTRACT_NAME, GOLDEN_NAME, LABELS_NAME, ONNX_NAME, REPORT_NAME, Bundle
from camserve.contract import ModelContract
from camserve.errors import BundleError
from camserve.golden import Golden, read_golden, tolerance_of
from camserve.manifest import MANIFEST_NAME, file_digest, write_manifest
from camserve.serving.config.backends import Backend
from camserve.serving.config.message import MODEL_FILES
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.repository.durable import copy_tree, sync_tree

__all__ = ["Draft", "read_draft_golden", "write_version"]

_UNROUNDED = 0.25
"""How far the unrounded original of a rounded model may be from it."""


@dataclass(frozen=True)
class Draft:
    """What is to be published.

    Attributes:
        model: The model's folder in the repository.
        contract: Under the name that the model is published by.
        source: The bundle, or a version that stands, read as one.
        changes: What changes of the options of a model that stands: all of them, or by name.
        backend: Which of Triton's backends shall run it.
        allow_contract_change: Whether clients may find another contract or other labels than they know.
        again: The older version that it is once more; None where its source is a bundle.
    """

    model: Path
    contract: ModelContract
    source: Bundle
    changes: ServingOptions | Mapping[str, Any]
    backend: Backend
    allow_contract_change: bool
    again: int | None = None

    @property
    def precision(self) -> str:
        """Of the file that is served: `fp32`, `fp16` or `int8`; a SavedModel is always float32."""
        return "fp32" if self.backend == "tensorflow" else self._exported

    @property
    def tolerance(self) -> float:
        """How far an answer may be from the golden one."""
        # Golden answers are those of the ONNX file, and the SavedModel beside it is never rounded.
        return tolerance_of(self._exported) if self.precision == self._exported else _UNROUNDED

    @property
    def _exported(self) -> str:
        """The precision that was asked for at the export: of `int8 (cpu)` the first word."""
        return str(self.source.report.get("precision", "fp32")).partition(" ")[0]

    @property
    def parts(self) -> dict[str, Path]:
        """By its name in the version's folder, where each part comes from."""
        model_file = MODEL_FILES[self.backend]
        source = self.source.path / model_file
        if self.backend == "tensorflow" and self.source.saved_model_path is not None:
            source = self.source.saved_model_path
        names = (LABELS_NAME, REPORT_NAME, GOLDEN_NAME)
        return {model_file: source, **{name: self.source.path / name for name in names}}


def read_draft_golden(draft: Draft) -> Golden:
    """The golden answers.

    Raises:
        BundleError: If there are none, or they do not fit the contract.
    """
    path = draft.source.golden_path
    if path is None:
        raise BundleError(
            f"{draft.source.path} has no {GOLDEN_NAME}, by which a served model is held to its export",
            hint="Export the model again with this version of camserve",
        )
    return read_golden(path, draft.contract)


def write_version(folder: Path, draft: Draft) -> str:
    """Writes the folder of the version, to stay, and returns the SHA-256 of its manifest.

    Raises:
        BundleError: If a part is missing, or changed while it was read.
    """
    folder.mkdir()
    for name, source in draft.parts.items():
        if not source.exists():
            raise BundleError(f"{draft.source.path} has no {source.name}", hint=_hint(draft.backend))
        copy_tree(source, folder / name)
    (folder / CONTRACT_NAME).write_text(draft.contract.to_json(indent=2) + "\n", encoding="utf-8")
    _refuse_changed(write_manifest(folder), draft)
    sync_tree(folder)
    return file_digest(folder / MANIFEST_NAME)


def _refuse_changed(written: Mapping[str, str], draft: Draft) -> None:
    expected = {
        f"{name}{file[len(source) :]}": digest
        for name, source in ((name, path.name) for name, path in draft.parts.items())
        for file, digest in draft.source.files.items()
        if file == source or file.startswith(f"{source}/")
    }
    changed = sorted(name for name in written if name != CONTRACT_NAME and written[name] != expected.get(name))
    changed += sorted(expected.keys() - written.keys())
    if changed:
        raise BundleError(f"{', '.join(changed)} of {draft.source.path} changed while it was read", hint="Try again")


def _hint(backend: Backend) -> str:
    return f"Export it with --formats {'onnx' if MODEL_FILES[backend] == ONNX_NAME else 'savedmodel'}"
