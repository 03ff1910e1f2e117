"""Rules about the files in a model's folder."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.bundle import LABELS_NAME
from camserve.contract import CONTRACT_PARAMETER, ModelContract
from camserve.errors import BundleError
from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target
from camserve.serving.repository.version_numbers import claimed_number, parse_version

__all__ = [
    "bad_version_folder",
    "invalid_contract",
    "missing_contract",
    "missing_labels",
    "missing_model_file",
    "missing_served_version",
    "name_mismatch",
    "stray_entry",
]


def name_mismatch(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton does not load a model whose name differs from its folder's."""
    if model.config.name not in ("", model.name):
        yield error(
            f"its configuration has the name {model.config.name!r}: the model will not load",
            f"Rename the folder to {model.config.name}, or publish the model again under the folder's name",
        )


def missing_contract(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Without a contract, each client must be configured with the preprocessing."""
    if CONTRACT_PARAMETER not in model.config.parameters:
        yield warning(
            "it has no contract: clients do not know how to preprocess an image",
            "Publish it with camserve publish, or pass a contract to each client",
        )


def invalid_contract(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Clients refuse a model whose contract is invalid."""
    if CONTRACT_PARAMETER not in model.config.parameters:
        return
    try:
        ModelContract.from_json(model.config.parameters[CONTRACT_PARAMETER].string_value, origin="its contract")
    except BundleError as refused:
        yield error(f"clients will refuse the model: {refused.message}", f"Restore {CONFIG_NAME} from a backup")


def missing_labels(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton does not load a model whose label file is missing."""
    for name in sorted({output.label_filename for output in model.config.output} - {""}):
        folder, _, file_name = name.rpartition("/")
        if file_name in (model.versions.get(parse_version(folder) or 0, ()) if folder else model.files):
            continue
        yield error(
            f"the label file {name} is missing: the model will not load",
            f"Copy it next to {CONFIG_NAME}, or publish the model again",
        )


def missing_model_file(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """A version without a model file does not load, nor does a model without versions."""
    if not model.versions:
        yield error("it has no versions", "Publish a bundle under this name, or remove the folder")
    name = model.config.default_model_filename
    for number, entries in model.versions.items():
        if name and name not in entries:
            yield error(
                f"version {number} has no {name}",
                "Move the version out of the repository, and publish its bundle again",
            )


def missing_served_version(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton ignores versions in the policy that do not exist."""
    missing = sorted(set(model.config.version_policy.specific.versions) - set(model.versions))
    if missing:
        noun = "version" if len(missing) == 1 else "versions"
        yield error(
            f"its version policy serves missing {noun} {', '.join(map(str, missing))}",
            "Serve the newest version: camserve publish BUNDLE_DIR --repository DIR --latest-versions 1",
        )


def bad_version_folder(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """Triton parses the number at the beginning of a name, and ignores names that begin with a zero."""
    for name in sorted(model.folders):
        number = claimed_number(name)
        if parse_version(name) is not None or number is None:
            continue
        if number in model.versions:
            yield error(
                f"Triton treats the folder {name!r} as version {number}, which exists as well",
                "Move it out of the model's folder",
            )
        else:
            yield warning(
                f"the folder {name!r} is not a version: Triton ignores it, or treats it as version {number}",
                "Move it out of the model's folder, and publish its model again",
            )


def stray_entry(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """In poll mode, any change in a model's folder makes Triton reload all of its versions."""
    named = {output.label_filename for output in model.config.output}
    files = model.files - named - {CONFIG_NAME, LABELS_NAME}
    folders = {name for name in model.folders if claimed_number(name) is None} - {"configs", "warmup"}
    for name in sorted(files | folders):
        yield warning(
            f"{name!r} is not part of the model: in poll mode a change of it reloads every version",
            "Move it out of the repository",
        )
