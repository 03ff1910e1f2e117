"""Describe a published model: its options, labels, preprocessing, versions and parity tolerances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.bundle import REPORT_NAME
from camserve.contract import PRESETS, ModelContract, Preprocessing
from camserve.errors import RepositoryError
from camserve.regular_file import read_regular_file
from camserve.serving.config.backends import Backend, backend_of
from camserve.serving.config.message import read_options
from camserve.serving.config.named_options import DEFAULTS
from camserve.serving.config.presets import find_preset
from camserve.serving.repository.ledger import PublishedModel, read_published
from camserve.serving.repository.listing import VersionEntry, check_known_models, open_repository, read_versions
from camserve.serving.repository.seal import is_sealed
from camserve.serving.repository.version_numbers import version_folders
from camserve.strict_json import parse_json
from camserve.text import reason

__all__ = ["ModelDescription", "ParityMetric", "describe_model"]


@dataclass(frozen=True)
class ParityMetric:
    """A metric of the parity gate at export, for the batch size with the largest value.

    Attributes:
        format: `onnx` or `savedmodel`; `network` for the Keras model that both are made of.
        name: Name of the metric.
        value: The measured value.
        tolerance: The largest value that passes; None if the metric is only reported.
        default: The tolerance of an export without options, if the report contains it.
    """

    format: str
    name: str
    value: float
    tolerance: float | None
    default: float | None = None


@dataclass(frozen=True)
class ModelDescription:
    """A published model.

    Attributes:
        name: Its name.
        path: Its folder.
        backend: Triton's backend that runs it.
        options: All serving options in effect, by name.
        preset: The preset whose options are all in effect; None if there is none.
        edited: Whether its configuration was edited since camserve wrote it.
        contract: Its contract, with input, outputs and preprocessing.
        preprocessing_preset: The preprocessing preset that the contract uses; None if there is none.
        labels: One per class; None if the configuration has none.
        versions: Its versions, lowest first.
        metrics: Parity metrics of the newest served version; empty without a report.
    """

    name: str
    path: Path
    backend: Backend
    options: Mapping[str, Any]
    preset: str | None
    edited: bool
    contract: ModelContract
    preprocessing_preset: str | None
    labels: tuple[str, ...] | None
    versions: tuple[VersionEntry, ...]
    metrics: tuple[ParityMetric, ...]

    @property
    def changed_options(self) -> dict[str, Any]:
        """The options that differ from the defaults of a new model."""
        return {name: value for name, value in self.options.items() if value != DEFAULTS[name]}


def describe_model(repository: str | Path, name: str) -> ModelDescription:
    """Describe a model of a repository.

    Args:
        repository: The repository's folder.
        name: Name of the model.

    Raises:
        RepositoryError: If the repository has no such model, or the model cannot be read.
    """
    root = open_repository(repository)
    try:
        check_known_models(root, [name])
        model = read_published(root / name)
        if model is None:  # removed in the meantime
            raise RepositoryError(f"cannot read {root / name}: it has no configuration")
        return _describe(root / name, model)
    except OSError as error:
        raise RepositoryError(f"cannot read {root / name}: {reason(error, root / name)}") from None


def _describe(path: Path, model: PublishedModel) -> ModelDescription:
    versions = tuple(read_versions(version_folders(path), model.served))
    newest = max((version for version in versions if version.served), key=lambda each: each.number, default=None)
    precision = "fp32" if newest is None or newest.precision is None else newest.precision.partition(" ")[0]
    options, backend = read_options(model.config), backend_of(model.config)
    return ModelDescription(
        name=path.name,
        path=path,
        backend=backend,
        options=options,
        preset=find_preset(options, precision=precision, backend=backend),
        edited=not is_sealed(model.text),
        contract=model.contract,
        preprocessing_preset=_preprocessing_preset(model.contract.preprocessing),
        labels=model.labels,
        versions=versions,
        metrics=() if newest is None else _read_metrics(path / str(newest.number)),
    )


def _preprocessing_preset(preprocessing: Preprocessing) -> str | None:
    fields = ("color", "scale", "mean", "std")
    for name, preset in PRESETS.items():
        if all(getattr(preset, field) == getattr(preprocessing, field) for field in fields):
            return name
    return None


def _read_metrics(version: Path) -> tuple[ParityMetric, ...]:
    try:
        entries = parse_json(read_regular_file(version / REPORT_NAME))["parity"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    worst: dict[tuple[str, str], ParityMetric] = {}
    for metric in _metrics(entries):
        key = (metric.format, metric.name)
        if key not in worst or metric.value > worst[key].value:
            worst[key] = metric
    return tuple(worst.values())


def _metrics(entries: Any) -> Iterator[ParityMetric]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(value := entry.get("value"), int | float):
            tolerances = (entry.get(key) for key in ("bound", "default"))
            tolerance, default = (float(each) if isinstance(each, int | float) else None for each in tolerances)
            yield ParityMetric(str(entry.get("format")), str(entry.get("figure")), float(value), tolerance, default)
