"""`camserve repository show`: one model in detail, as tables and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli.console import print_json, print_line
from camserve.cli.repository_view import version_document
from camserve.cli.shared_options import Json, Repository, complete_model
from camserve.cli.tables import print_table
from camserve.parity_report import is_widened
from camserve.text import count

if TYPE_CHECKING:
    from camserve.contract import ModelContract, Preprocessing
    from camserve.serving import ModelDescription, ParityMetric

__all__ = ["SHOW_EPILOG", "show_model"]

SHOW_EPILOG = "Example:  camserve repository show resnet50 --repository model_repository"

_LABELS_SHOWN = 3


def show_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.", autocompletion=complete_model)],
    repository: Repository,
    as_json: Json = False,
) -> None:
    """Show the options, preprocessing, labels and parity of one model.

    The options are those in effect for all versions; the metrics are those of the newest served version.
    """
    from camserve.serving import describe_model

    description = describe_model(repository, model)
    if as_json:
        print_json(_document(description))
        return
    _print_summary(description)
    print_line("")
    print_line("Serving options in effect:")
    print_table(("option", "value", "default, if different"), _option_rows(description))
    if description.metrics:
        print_line("Parity with Keras at export:")
        columns = ("format", "metric", "worst ", "tolerance ", "default, if different ")
        print_table(columns, [_metric_row(each) for each in description.metrics])


def _document(description: ModelDescription) -> dict[str, Any]:
    return {
        "name": description.name,
        "path": str(description.path),
        "backend": description.backend,
        "preset": description.preset,
        "edited": description.edited,
        "options": {name: _plain(value) for name, value in description.options.items()},
        "changed_options": sorted(description.changed_options),
        "contract": description.contract.model_dump(mode="json"),
        "preprocessing_preset": description.preprocessing_preset,
        "labels": None if description.labels is None else list(description.labels),
        "versions": [version_document(description.name, each, None) for each in description.versions],
        "parity": [asdict(each) for each in description.metrics],
    }


def _print_summary(description: ModelDescription) -> None:
    contract = description.contract
    versions = ", ".join(f"{each.number}{' (served)' if each.served else ''}" for each in description.versions)
    rows = {
        "Model": description.name,
        "Folder": str(description.path),
        "Versions": versions or "none",
        "Backend": description.backend,
        "Preset": description.preset or "none",
        "Configuration": "edited by hand" if description.edited else "as written by camserve",
        "Input": f"{contract.input.name}, {contract.input.dtype}, {' × '.join(map(str, contract.input.shape))}",
        "Preprocessing": _preprocessing(contract.preprocessing, description.preprocessing_preset),
        "Maps": _maps(contract),
        "Labels": _labels(description.labels, contract.classes),
    }
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        print_line(f"{name:<{width}}{value}")


def _preprocessing(preprocessing: Preprocessing, preset: str | None) -> str:
    operations = (
        f"{name} by {_operand(operand)}" if name == "divide" else f"{name} {_operand(operand)}"
        for name, operand in preprocessing.arithmetic
    )
    steps = [f"{preprocessing.fit}, {preprocessing.resize}", preprocessing.color, *operations]
    place = "by the graph" if preprocessing.in_graph else "by the client"
    return f"{preset or 'custom'} ({', '.join(steps)}), {place}"


def _operand(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "/".join(f"{value:g}" for value in values)


def _maps(contract: ModelContract) -> str:
    if contract.cam is None:
        return "none"
    height, width = contract.cam.grid
    method = "linear" if contract.cam.method == "linear" else "gradient (HiResCAM)"
    which = f"of the {contract.cam.top_k} best classes" + (" or of all classes" if contract.cam.all_classes else "")
    return f"{height} × {width}, {which}, {method}"


def _labels(labels: tuple[str, ...] | None, classes: int) -> str:
    if labels is None:
        return f"none for {count(classes, 'class')}"
    more = f", … ({len(labels):,}; --json lists all)" if len(labels) > _LABELS_SHOWN else ""
    return ", ".join(labels[:_LABELS_SHOWN]) + more


def _option_rows(description: ModelDescription) -> list[tuple[str, str, str]]:
    """Return the options that apply to the model's accelerator, those that differ from the default first."""
    from camserve.serving.config.named_options import DEFAULTS, accelerators_with, format_value

    accelerator = description.options["accelerator"]
    names = [
        name for name in description.options if not accelerators_with(name) or accelerator in accelerators_with(name)
    ]
    changed = description.changed_options
    rows = []
    for name in sorted(names, key=lambda name: name not in changed):
        value, default = format_value(description.options[name]), format_value(DEFAULTS[name])
        rows.append((name, value, default if name in changed else ""))
    return rows


def _metric_row(metric: ParityMetric) -> tuple[str, ...]:
    from camserve.export.report.metric_text import default_text, format_title, title, tolerance_text, value_text

    row = {
        "format": metric.format,
        "figure": metric.name,
        "value": metric.value,
        "bound": metric.tolerance,
        "default": metric.default,
    }
    default = default_text(row)
    if is_widened(row):
        default += " (widened)"
    return format_title(metric.format), title(row), value_text(row), tolerance_text(row), default


def _plain(value: Any) -> Any:
    """Return the value of an option for JSON; what JSON lacks as the text that --set accepts."""
    from camserve.serving.config.named_options import format_value

    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else format_value(value)
