"""The ledger: which versions a model consists of, written in its configuration with the hash of each one's manifest.

Replacing `config.pbtxt` is therefore the one moment at which a version begins to belong to its model, or ceases to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import RepositoryError
from camserve.serving.config.message import CONFIG_NAME, read_config, render_config
from camserve.serving.config.pinning import chosen_versions, unpinned
from camserve.serving.repository.seal import seal, without_seal

__all__ = ["PublishedModel", "config_text", "read_leaving", "read_ledger", "read_published", "write_ledger"]

_LEDGER = "camserve.versions"
_LEAVING = "camserve.leaving"
_LINE = re.compile(r"([1-9][0-9]{0,17}) ([0-9a-f]{64})", re.ASCII)
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """A model as its configuration has it.

    Attributes:
        text: The file.
        config: The message, with the version policy that was wished for in place of the versions it names.
        contract: What its clients know it by.
        labels: One per class; None where the configuration does not say.
        ledger: SHA-256 of the manifest, by version.
        served: The versions that it has served.
    """

    text: str
    config: Any
    contract: ModelContract
    labels: tuple[str, ...] | None
    ledger: dict[int, str]
    served: tuple[int, ...]


def read_published(model: Path) -> PublishedModel | None:
    """The model in that folder; None where there is no configuration.

    Raises:
        RepositoryError: If it cannot be read, or camserve did not publish it.
    """
    path = model / CONFIG_NAME
    if not path.exists():
        return None
    config = read_config(path)
    if CONTRACT_PARAMETER not in config.parameters:
        raise RepositoryError(
            f"{model} was not published by camserve: its configuration has no contract",
            hint="Publish under another name",
        )
    contract = ModelContract.from_json(config.parameters[CONTRACT_PARAMETER].string_value, origin=str(path))
    ledger = read_ledger(config, model)
    labels = config.parameters[LABELS_PARAMETER].string_value if LABELS_PARAMETER in config.parameters else None
    return PublishedModel(
        text=path.read_text(encoding="utf-8"),
        config=_unpinned(config, path),
        contract=contract,
        labels=None if labels is None else tuple(labels.split("\n")),
        ledger=ledger,
        served=chosen_versions(config.version_policy, ledger),
    )


def read_ledger(config: Any, model: Path) -> dict[int, str]:
    """SHA-256 of the manifest, by version; empty where the configuration has no ledger.

    Raises:
        RepositoryError: If the ledger is damaged.
    """
    return _read(config, _LEDGER, model)


def read_leaving(config: Any, model: Path) -> dict[int, str]:
    """SHA-256 of the manifest, by version, of those that ceased to belong to the model and are being removed.

    Raises:
        RepositoryError: As for `read_ledger`.
    """
    return _read(config, _LEAVING, model)


def write_ledger(config: Any, ledger: Mapping[int, str], *, leaving: Collection[int] = ()) -> None:
    """Writes the ledger into a configuration.

    Args:
        config: The message; it is changed.
        ledger: SHA-256 of the manifest, by version.
        leaving: Versions of the ledger that cease to belong to the model.
    """
    config.parameters.pop(_LEAVING, None)
    _write(config, _LEDGER, {number: ledger[number] for number in ledger if number not in leaving})
    if leaving:
        _write(config, _LEAVING, {number: ledger[number] for number in leaving})


def _write(config: Any, parameter: str, versions: Mapping[int, str]) -> None:
    config.parameters[parameter].string_value = "\n".join(f"{n} {versions[n]}" for n in sorted(versions))


def _read(config: Any, parameter: str, model: Path) -> dict[int, str]:
    text = config.parameters[parameter].string_value if parameter in config.parameters else ""
    found = [_LINE.fullmatch(line) for line in text.split("\n")] if text else []
    if not all(found):
        raise RepositoryError(
            f"{model / CONFIG_NAME} lists its versions in a way that camserve never wrote",
            hint="Restore the file from a copy",
        )
    return {int(match[1]): match[2] for match in found if match}


def config_text(config: Any, before: str = "") -> str:
    """The file, sealed.

    Args:
        config: The message.
        before: The file in its place, whose comments are kept, at the head.
    """
    comments = "".join(f"{line}\n" for line in _COMMENT.findall(without_seal(before)))
    return seal(comments + render_config(config))


def _unpinned(config: Any, path: Path) -> Any:
    try:
        return unpinned(config)
    except text_format.ParseError as error:
        raise RepositoryError(f"the version policy in {path} cannot be read: {error}") from error
