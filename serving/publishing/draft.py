"""The draft of a version: what is published, and the folder that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.access import give_tree_access
from camserve.bundle import CONTRACT_NAME, GOLDEN_IMAGES_NAME, GOLDEN_NAME, LABELS_NAME, ONNX_NAME, REPORT_NAME, Bundle
from camserve.contract import ModelContract
from camserve.errors import BundleError
from camserve.golden import Golden, read_golden, tolerance_of
from camserve.golden_images import GoldenImages, read_golden_images
from camserve.manifest import MANIFEST_NAME, file_digest, write_manifest
from camserve.parity_report import largest_noise, widened_tolerances
from camserve.serving.config.backends import Backend
from camserve.serving.config.image_files import CODE_NAME
from camserve.serving.config.message import CONFIG_NAME, MODEL_FILES, read_options
from camserve.serving.config.serving_options import ServingOptions
from camserve.serving.publishing.image_file_code import write_code
from camserve.serving.repository.durable import copy_tree, sync_tree
from camserve.serving.repository.ledger import PublishedModel

__all__ = ["Draft", "GoldenFiles", "read_draft_golden", "write_version"]

_SAVED_MODEL_TOLERANCE = 0.25
"""Tolerance of a float32 SavedModel against the golden answers of a quantized ONNX file."""

_LARGEST_FP32_TOLERANCE = 1e-3
"""What no rounding of float32 exceeds, as in the parity gate."""


@dataclass(frozen=True)
class Draft:
    """What is published.

    Attributes:
        model: The model's folder in the repository.
        published: The model so far; None if this is its first version.
        contract: The contract, with the published name.
        source: The bundle, or an existing version that was loaded as one.
        changes: Serving options: all of them, or by name those that change.
        backend: The Triton backend.
        allow_contract_change: Whether contract and labels may change for clients.
        source_version: The older version that is republished; None if the source is a bundle.
    """

    model: Path
    published: PublishedModel | None
    contract: ModelContract
    source: Bundle
    changes: ServingOptions | Mapping[str, Any]
    backend: Backend
    allow_contract_change: bool
    source_version: int | None = None

    @property
    def precision(self) -> str:
        """Precision of the served file: `fp32`, `fp16`, `bf16` or `int8`. A SavedModel is always float32."""
        return "fp32" if self.backend == "tensorflow" else self.source.precision

    @property
    def image_files(self) -> bool:
        """Whether it is published with the model that takes image files."""
        if isinstance(self.changes, ServingOptions):
            return self.changes.image_files
        current = {} if self.published is None else read_options(self.published.config)
        return bool(self.changes.get("image_files", current.get("image_files", False)))

    @property
    def tolerance(self) -> float:
        """Tolerance for the golden answers on a CPU."""
        # Golden answers come from the ONNX file. The SavedModel beside it is never quantized.
        if self.precision != self.source.precision:
            return _SAVED_MODEL_TOLERANCE
        parity = self.source.report.get("parity")
        tolerance, noise = tolerance_of(self.source.precision), largest_noise(parity)
        if noise:
            # Two processors or runtimes that are as precise as Keras differ by up to twice its distance from float64.
            tolerance = max(tolerance, min(2 * noise, _LARGEST_FP32_TOLERANCE))
        if self.backend == "tensorflow":
            # Each file may differ from float64 by the tolerance of the gate, which may have been widened.
            widest = max([tolerance, *(each.tolerance for each in widened_tolerances(parity))])
            tolerance = min(2 * widest, _SAVED_MODEL_TOLERANCE)
        return tolerance

    @property
    def _has_code(self) -> bool:
        """Whether the source is a version that was published with image files."""
        return self.source_version is not None and (self.source.path / CODE_NAME).is_file()

    @property
    def parts(self) -> dict[str, Path]:
        """The source of each part of the version's folder, by its name there."""
        model_file = MODEL_FILES[self.backend]
        source = self.source.path / model_file
        if self.backend == "tensorflow" and self.source.saved_model_path is not None:
            source = self.source.saved_model_path
        images = () if self.source.golden_images_path is None else (GOLDEN_IMAGES_NAME,)
        code = (CODE_NAME,) if self.image_files and self._has_code else ()
        names = (LABELS_NAME, REPORT_NAME, GOLDEN_NAME, *images, *code)
        return {model_file: source, **{name: self.source.path / name for name in names}}


@dataclass(frozen=True)
class GoldenFiles:
    """What verifies a served model against its export.

    Attributes:
        answers: Images of the input's size with the answers of the export.
        images: Image files with the answers that the user expects; None if none were given at export.
    """

    answers: Golden
    images: GoldenImages | None


def read_draft_golden(draft: Draft) -> GoldenFiles:
    """Read the golden answers of a draft, and its golden images.

    Raises:
        BundleError: If there are none, or they do not match the contract.
    """
    path = draft.source.golden_path
    if path is None:
        raise BundleError(
            f"{draft.source.path} has no {GOLDEN_NAME}, which verifies a served model against its export",
            hint="Export the model again with this version of camserve",
        )
    images = draft.source.golden_images_path
    return GoldenFiles(
        read_golden(path, draft.contract), None if images is None else read_golden_images(images, draft.contract)
    )


def write_version(folder: Path, draft: Draft) -> str:
    """Write the folder of a version durably and return the SHA-256 of its manifest.

    Its files get the owner and mode of those of the model's newest version, whatever the umask.

    Raises:
        BundleError: If a part is missing, or changed while it was copied.
    """
    folder.mkdir()
    for name, source in draft.parts.items():
        if not source.exists():
            raise BundleError(f"{draft.source.path} has no {source.name}", hint=_format_hint(draft.backend))
        copy_tree(source, folder / name)
    if draft.image_files and not (folder / CODE_NAME).exists():
        write_code(folder / CODE_NAME)
    (folder / CONTRACT_NAME).write_text(draft.contract.to_json(indent=2) + "\n", encoding="utf-8")
    _refuse_changed(write_manifest(folder), draft)
    if draft.published is not None:
        give_tree_access(folder, _newest_version(draft, draft.published), file=draft.model / CONFIG_NAME)
    sync_tree(folder)
    return file_digest(folder / MANIFEST_NAME)


def _newest_version(draft: Draft, published: PublishedModel) -> Path:
    """Return the folder of the newest version, or that of the model if it has none."""
    folders = (draft.model / str(number) for number in sorted(published.ledger, reverse=True))
    return next((folder for folder in folders if folder.is_dir()), draft.model)


def _refuse_changed(written: Mapping[str, str], draft: Draft) -> None:
    expected = {
        f"{name}{file[len(source) :]}": digest
        for name, source in ((name, path.name) for name, path in draft.parts.items())
        for file, digest in draft.source.files.items()
        if file == source or file.startswith(f"{source}/")
    }
    own = [name for name in written if name == CONTRACT_NAME or name.partition("/")[0] not in draft.parts]
    changed = sorted(written.keys() - own - {name for name in written if written[name] == expected.get(name)})
    changed += sorted(expected.keys() - written.keys())
    if changed:
        raise BundleError(
            f"{', '.join(changed)} of {draft.source.path} changed during the copy", hint="Publish the bundle again"
        )


def _format_hint(backend: Backend) -> str:
    format_name = "onnx" if MODEL_FILES[backend] == ONNX_NAME else "savedmodel"
    return f"Export the model again with --formats {format_name}"
