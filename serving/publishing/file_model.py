"""The model `NAME_file`, which takes image files for the model `NAME`: placed with its first version, removed with it.

It has no weights and no contract of its own, see `serving/backends/image_files/model.py`. It is placed before the first
version of `NAME` that is published with it, and removed after the first without. Between these renames it refuses
requests, or answers them with the version before. If the publisher is killed there, the next one removes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.errors import CamserveError, RepositoryError
from camserve.manifest import MANIFEST_NAME, file_digest, write_manifest
from camserve.serving.config.image_files import file_config, file_model_name, file_model_of, read_image_files
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.config.pinning import pin
from camserve.serving.publishing.version_folders import add_model, add_version, move
from camserve.serving.repository.allocation import Allocated, allocate_version, read_numbers
from camserve.serving.repository.durable import make_folder, sync_tree
from camserve.serving.repository.ledger import config_text, read_ledger, write_ledger

__all__ = ["move_out_orphans", "place_file_model", "remove_file_model"]

_PROGRAM = Path(__file__).parents[1] / "backends" / "image_files" / "model.py"
_STAGE = "file-model"


@dataclass(frozen=True)
class _Current:
    """The model `NAME_file` as it is."""

    text: str
    ledger: dict[int, str]


def place_file_model(root: Path, stage: Path, config: Any, undo: ExitStack) -> None:
    """Add the model that takes image files, or replace it by one of this version of camserve, if its options are on.

    Args:
        root: The repository's folder; the caller holds its lock.
        stage: The staging area.
        config: The `ModelConfig` message of the model whose version is placed next.
        undo: Restores the previous state when it is closed.

    Raises:
        RepositoryError: If something else has its name.
    """
    message = file_config(config)
    if message is None:
        return
    model, stage = root / message.name, _own_stage(stage)
    current = _read(model, config.name)
    version = stage / "version"
    version.mkdir()
    shutil.copyfile(_PROGRAM, version / _PROGRAM.name)
    write_manifest(version)
    sync_tree(version)
    digest = file_digest(version / MANIFEST_NAME)
    ledger = {} if current is None else current.ledger
    number = next((each for each, known in ledger.items() if known == digest), None)
    known = number is not None
    allocated = read_numbers(root).get(model.name)
    number = number or max(0, *ledger, allocated.number if allocated else 0) + 1
    pin(message, [number])
    write_ledger(message, {**ledger, number: digest}, leaving=set(ledger) - {number})
    text = config_text(message, "" if current is None else current.text)
    if current is not None and text == current.text:
        return
    allocate_version(root, stage, model.name, Allocated(number, digest))
    if current is None:
        add_model(stage, version, model / str(number), text, undo)
    else:
        add_version(stage, None if known else version, model / str(number), text, undo)


def remove_file_model(root: Path, stage: Path, config: Any, undo: ExitStack) -> None:
    """Move the model that takes image files out of the repository, if its options are off.

    Args:
        root: As for `place_file_model`.
        stage: As for `place_file_model`.
        config: The `ModelConfig` message of the model whose version was placed.
        undo: As for `place_file_model`.
    """
    model = root / file_model_name(config.name)
    if not read_image_files(config) and _owner(model) == config.name:
        move(model, _own_stage(stage) / model.name, undo)


def move_out_orphans(root: Path, stage: Path) -> None:
    """Move out models that take image files for a model that is not there, or is published without image files.

    Args:
        root: The repository's folder; the caller holds its lock.
        stage: The staging area, with which they are deleted.
    """
    for model in list(_orphans(root)):
        model.rename(_own_stage(stage) / model.name)


def _orphans(root: Path) -> Iterator[Path]:
    for path in root.glob(f"{file_model_name('*')}/{CONFIG_NAME}"):
        owner = _owner(path.parent)
        if owner is None or path.parent.name != file_model_name(owner):
            continue
        try:
            has_files = (root / owner / CONFIG_NAME).exists() and read_image_files(
                read_config(root / owner / CONFIG_NAME)
            )
        except CamserveError:  # it may have image files
            continue
        if not has_files:
            yield path.parent


def _owner(model: Path) -> str | None:
    try:
        return file_model_of(read_config(model / CONFIG_NAME))
    except CamserveError:
        return None


def _read(model: Path, owner: str) -> _Current | None:
    """Read the model.

    Raises:
        RepositoryError: If something else has its name.
    """
    path = model / CONFIG_NAME
    if not model.exists():
        return None
    if _owner(model) != owner:
        raise RepositoryError(
            f"{model} exists, and does not take image files for {owner}",
            hint="Publish the model under another name with --name, or with --no-image-files",
        )
    return _Current(path.read_text(encoding="utf-8"), read_ledger(read_config(path), path))


def _own_stage(stage: Path) -> Path:
    folder = stage / _STAGE
    if not folder.exists():
        make_folder(folder)
    return folder
