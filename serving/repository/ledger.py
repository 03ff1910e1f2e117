"""The ledger: the versions of a model and the checksum of each one's manifest, stored in its `config.pbtxt`.

A version therefore becomes part of its model, or ceases to be, at the moment when `config.pbtxt` is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import BundleError, RepositoryError
from camserve.regular_file import read_regular_file
from camserve.serving.config.image_files import file_model_of
from camserve.serving.config.message import CONFIG_NAME, parse_config, render_config
from camserve.serving.config.pinning import chosen_versions, unpinned
from camserve.serving.repository.seal import seal, without_seal
from camserve.text import reason

__all__ = [
    "PublishedModel",
    "config_text",
    "read_carried_contract",
    "read_leaving",
    "read_ledger",
    "read_published",
    "write_ledger",
]

_LEDGER = "camserve.versions"
_LEAVING = "camserve.leaving"
_LINE = re.compile(r"([1-9][0-9]{0,17}) ([0-9a-f]{64})", re.ASCII)
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """A model as described by its configuration.

    Attributes:
        text: Content of `config.pbtxt`.
        config: The message, with the requested version policy in place of the pinned versions.
        contract: The contract that clients read.
        labels: One per class; None if the configuration has none.
        ledger: SHA-256 of the manifest, by version.
        leaving: The same for versions that no longer belong to the model and are being removed.
        served: The versions that are served.
    """

    text: str
    config: Any
    contract: ModelContract
    labels: tuple[str, ...] | None
    ledger: Mapping[int, str]
    leaving: Mapping[int, str]
    served: tuple[int, ...]


def read_published(model: Path, *, known: PublishedModel | None = None) -> PublishedModel | None:
    """Read the model in a folder.

    Args:
        model: The model's folder.
        known: The result of an earlier call. It is returned if the configuration has not changed since.

    Returns:
        The model, or None if the folder has no configuration.

    Raises:
        RepositoryError: If the configuration cannot be read, or was not written by camserve.
    """
    path = model / CONFIG_NAME
    try:
        text = read_regular_file(path).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RepositoryError(
            f"cannot read {path}: {reason(error, path)}", hint="Restore the file from a backup"
        ) from None
    return known if known is not None and known.text == text else _parse(text, path)


def read_carried_contract(config: Any, path: Path) -> ModelContract:
    """Read the contract in a configuration.

    Args:
        config: The `ModelConfig` message, which has a contract.
        path: Its file, for error messages.

    Raises:
        RepositoryError: If it is not a valid contract.
    """
    try:
        return ModelContract.from_json(
            config.parameters[CONTRACT_PARAMETER].string_value,
            origin=f"the contract in {path}",
            hint="Restore the file from a backup, or publish the model under another name, with --name",
        )
    except BundleError as error:
        raise RepositoryError(error.message, hint=error.hint) from None


def _parse(text: str, path: Path) -> PublishedModel:
    config = parse_config(text, path)
    owner = file_model_of(config)
    if owner is not None:
        raise RepositoryError(
            f"{path.parent.name} takes image files for {owner}, with which it is published, rolled back and pruned",
            hint=f"Use the name {owner}",
        )
    if CONTRACT_PARAMETER not in config.parameters:
        raise RepositoryError(
            f"{path.parent} was not published by camserve: its configuration contains no contract",
            hint="Publish under another name, with --name",
        )
    ledger = read_ledger(config, path)
    labels = config.parameters[LABELS_PARAMETER].string_value if LABELS_PARAMETER in config.parameters else None
    return PublishedModel(
        text=text,
        config=_unpinned(config, path),
        contract=read_carried_contract(config, path),
        labels=None if labels is None else tuple(labels.split("\n")),
        ledger=ledger,
        leaving=read_leaving(config, path),
        served=chosen_versions(config.version_policy, ledger),
    )


def read_ledger(config: Any, path: Path | str) -> dict[int, str]:
    """Return the SHA-256 of the manifest of each version; empty if the configuration has no ledger.

    Args:
        config: The `ModelConfig` message.
        path: Where it comes from, for the message of an error.

    Raises:
        RepositoryError: If the ledger is damaged.
    """
    return _read(config, _LEDGER, path)


def read_leaving(config: Any, path: Path | str) -> dict[int, str]:
    """Return the SHA-256 of the manifest of each version that left the model and is being removed.

    Args:
        config: The `ModelConfig` message.
        path: Where it comes from, for the message of an error.

    Raises:
        RepositoryError: If the list is damaged.
    """
    return _read(config, _LEAVING, path)


def write_ledger(config: Any, ledger: Mapping[int, str], *, leaving: Collection[int] = ()) -> None:
    """Write the ledger into a configuration.

    Args:
        config: The message; it is modified.
        ledger: SHA-256 of the manifest, by version.
        leaving: Versions of the ledger that leave the model.
    """
    config.parameters.pop(_LEAVING, None)
    _write(config, _LEDGER, {number: ledger[number] for number in ledger if number not in leaving})
    if leaving:
        _write(config, _LEAVING, {number: ledger[number] for number in leaving})


def config_text(config: Any, previous: str = "") -> str:
    """Render a configuration as the sealed text of `config.pbtxt`.

    Args:
        config: The message.
        previous: The text that it replaces; its comments are kept, at the top.
    """
    comments = "".join(f"{line}\n" for line in _COMMENT.findall(without_seal(previous)))
    return seal(comments + render_config(config))


def _write(config: Any, parameter: str, versions: Mapping[int, str]) -> None:
    config.parameters[parameter].string_value = "\n".join(f"{n} {versions[n]}" for n in sorted(versions))


def _read(config: Any, parameter: str, path: Path | str) -> dict[int, str]:
    text = config.parameters[parameter].string_value if parameter in config.parameters else ""
    matches = [_LINE.fullmatch(line) for line in text.split("\n")] if text else []
    if not all(matches):
        raise RepositoryError(f"the list of versions in {path} is damaged", hint="Restore the file from a backup")
    versions = {int(match[1]): match[2] for match in matches if match}
    if len(versions) != len(matches):
        raise RepositoryError(
            f"the list of versions in {path} contains a version twice", hint="Restore the file from a backup"
        )
    return versions


def _unpinned(config: Any, path: Path) -> Any:
    try:
        return unpinned(config)
    except text_format.ParseError as error:
        raise RepositoryError(
            f"cannot read the version policy in {path}: {error}", hint="Restore the file from a backup"
        ) from None
