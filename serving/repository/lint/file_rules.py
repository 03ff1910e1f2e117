"""Traps in what stands in a model's folder."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.bundle import LABELS_NAME
from camserve.contract import CONTRACT_PARAMETER
from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target
from camserve.serving.repository.version_numbers import claimed_number, parse_version

__all__ = [
    "bad_version_folder",
    "missing_contract",
    "missing_labels",
    "missing_model_file",
    "missing_served_version",
    "name_mismatch",
    "stray_entry",
]


def name_mismatch(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton refuses a configuration of another name than its folder's."""
    if model.config.name not in ("", model.name):
        yield error(
            f"its configuration is that of {model.config.name!r}, and Triton will not load it",
            f"Rename the folder to {model.config.name}, or publish the model under the name that you want",
        )


def missing_contract(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Without a contract, clients have to be told how pixels become the input."""
    if CONTRACT_PARAMETER not in model.config.parameters:
        yield warning(
            "it has no contract: clients cannot know how to prepare an image for it",
            "Publish it with camserve publish, or give each client a contract",
        )


def missing_labels(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton refuses a model whose label file is not there."""
    for name in sorted({output.label_filename for output in model.config.output} - {""}):
        folder, _, file_name = name.rpartition("/")
        if file_name in (model.versions.get(parse_version(folder) or 0, ()) if folder else model.files):
            continue
        yield error(
            f"its configuration names the label file {name}, which is not there: the model will not load",
            f"Put it beside {CONFIG_NAME}, or publish the model again",
        )


def missing_model_file(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """A version without its model does not load, and neither does a model without versions."""
    if not model.versions:
        yield error("it has no version", "Publish a bundle under this name, or remove the folder")
    name = model.config.default_model_filename
    for number, entries in model.versions.items():
        if name and name not in entries:
            yield error(
                f"version {number} has no {name}",
                "Move the version out of the repository, and publish its bundle again",
            )


def missing_served_version(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton passes over versions that are named and not there."""
    missing = sorted(set(model.config.version_policy.specific.versions) - set(model.versions))
    if missing:
        yield error(
            f"its version policy names {', '.join(map(str, missing))}, which is not there",
            "Choose what is there: camserve publish … --latest-versions 1",
        )


def bad_version_folder(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton reads a number from the beginning of a name, and passes over those that begin with a zero."""
    for name in sorted(model.folders):
        number = claimed_number(name)
        if parse_version(name) is not None or number is None:
            continue
        if number in model.versions:
            yield error(
                f"Triton takes the folder {name!r} for version {number}, which stands beside it",
                "Move it out of the model's folder",
            )
        else:
            yield warning(
                f"the folder {name!r} is no version: Triton passes it over, or takes it for version {number}",
                "Move it out, and publish its model again",
            )


def stray_entry(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """In poll mode, whatever changes in a model's folder makes Triton load all of its versions again."""
    named = {output.label_filename for output in model.config.output}
    files = model.files - named - {CONFIG_NAME, LABELS_NAME}
    folders = {name for name in model.folders if claimed_number(name) is None} - {"configs", "warmup"}
    for name in sorted(files | folders):
        yield warning(
            f"{name!r} is no part of the model: in poll mode its coming and going loads every version anew",
            "Move it out of the repository",
        )
