"""The bundle: the folder that an export writes and serving publishes. Its manifest lists every file.

BUNDLE_DIR/  model.onnx  saved_model/  labels.txt  contract.json  golden.npz  report.json  report.html  manifest.json
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.contract import ModelContract
from camserve.errors import BundleError, UsageError
from camserve.labels import read_label_lines
from camserve.manifest import MANIFEST_NAME, verify_manifest
from camserve.strict_json import JsonError, parse_json
from camserve.text import count

__all__ = [
    "CONTRACT_NAME",
    "GOLDEN_IMAGES_NAME",
    "GOLDEN_NAME",
    "LABELS_NAME",
    "ONNX_NAME",
    "REPORT_HTML_NAME",
    "REPORT_NAME",
    "SAVED_MODEL_NAME",
    "Bundle",
    "load_bundle",
    "read_labels",
]

ONNX_NAME = "model.onnx"
SAVED_MODEL_NAME = "saved_model"
LABELS_NAME = "labels.txt"
CONTRACT_NAME = "contract.json"
GOLDEN_NAME = "golden.npz"
GOLDEN_IMAGES_NAME = "golden_images.npz"
REPORT_NAME = "report.json"
REPORT_HTML_NAME = "report.html"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk.

    Attributes:
        path: The folder, absolute.
        contract: Inputs, outputs and preprocessing of the model.
        labels: One line per class, as in `labels.txt`: the label, or an identifier, a tab and the label.
        report: Content of `report.json`: source, folding, graph, parity and versions.
        files: SHA-256 by path relative to the folder.
    """

    path: Path
    contract: ModelContract
    labels: tuple[str, ...]
    report: dict[str, Any]
    files: dict[str, str]

    @property
    def precision(self) -> str:
        """The precision of the export: `fp32`, `fp16`, `bf16` or `int8`, the first word of that in the report."""
        return str(self.report.get("precision", "fp32")).partition(" ")[0]

    @property
    def onnx_path(self) -> Path | None:
        """The ONNX file; None if the bundle was exported without one."""
        return self.path / ONNX_NAME if ONNX_NAME in self.files else None

    @property
    def saved_model_path(self) -> Path | None:
        """The SavedModel folder; None if the bundle was exported without one."""
        return self.path / SAVED_MODEL_NAME if f"{SAVED_MODEL_NAME}/saved_model.pb" in self.files else None

    @property
    def golden_path(self) -> Path | None:
        """The golden answers: images and the outputs of the model at export. None if they were not stored."""
        return self.path / GOLDEN_NAME if GOLDEN_NAME in self.files else None

    @property
    def golden_images_path(self) -> Path | None:
        """Image files with the answers that the user expects. None if none were given at export."""
        return self.path / GOLDEN_IMAGES_NAME if GOLDEN_IMAGES_NAME in self.files else None


def load_bundle(path: str | Path) -> Bundle:
    """Load a bundle and verify every file against its manifest.

    Raises:
        BundleError: If the folder is not a bundle, is incomplete or was changed, or contains a hard link.
    """
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise BundleError(f"{path} is not a folder", hint="Use the folder that 'camserve export --out' wrote")
    files = verify_manifest(folder)
    _refuse_hard_links(folder, files)
    for name in (CONTRACT_NAME, LABELS_NAME, REPORT_NAME):
        if name not in files:
            raise BundleError(f"{folder} has no {name}", hint="Export the model again")
    contract = ModelContract.from_json((folder / CONTRACT_NAME).read_bytes(), origin=str(folder / CONTRACT_NAME))
    labels = read_labels(folder / LABELS_NAME)
    if len(labels) != contract.classes:
        raise BundleError(
            f"{folder} has {count(len(labels), 'label')} for {count(contract.classes, 'class')}",
            hint="Export the model again",
        )
    return Bundle(folder, contract, labels, _read_report(folder / REPORT_NAME), files)


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = parse_json(path.read_bytes())
    except JsonError as error:
        raise BundleError(f"cannot read {path}: {error}", hint="Export the model again") from None
    if not isinstance(report, dict):
        raise BundleError(f"{path} is not a report", hint="Export the model again")
    return report


def _refuse_hard_links(folder: Path, files: Iterable[str]) -> None:
    """Refuse files that can be changed through another name, outside the bundle."""
    for name in (*files, MANIFEST_NAME):
        if (folder / name).lstat().st_nlink > 1:
            raise BundleError(
                f"{folder / name} is a hard link: the same file has another name",
                hint=f"Copy the bundle and use the copy: cp -r {shlex.quote(str(folder))} COPY",
            )


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a label file: one label per line, in class order, stripped; empty lines at the end are ignored.

    Raises:
        BundleError: If the file cannot be read, is not UTF-8, or has an empty line before the last label.
    """
    if path.exists() and not path.is_file():  # reading a pipe could wait forever
        raise BundleError(f"{path} is not a regular file", hint="Export the model again")
    try:
        return read_label_lines(path)
    except UsageError as error:
        raise BundleError(error.message, hint=error.hint) from None
