"""Renames a finished version into its model, and puts everything back where that fails half way."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.bundle import LABELS_NAME, read_labels
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import RepositoryError
from camserve.serving.config.message import CONFIG_NAME, build_config, read_config, render_config, update_config
from camserve.serving.config.options import ServingOptions
from camserve.serving.repository.versions import claimed_numbers

__all__ = ["Draft", "place"]

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
_ANOTHER_NAME = "Publish it under another name with --name"


@dataclass(frozen=True)
class Draft:
    """What is to be published.

    Attributes:
        model: The model's folder in the repository.
        contract: Under the name that the model is published by.
        labels: One per class.
        options: How a model that is new is served.
        changes: What changes of the options of a model that stands: all of them, or by name.
    """

    model: Path
    contract: ModelContract
    labels: tuple[str, ...]
    options: ServingOptions
    changes: ServingOptions | Mapping[str, Any]


def place(fresh: Path, draft: Draft) -> int | None:
    """Renames the finished parts into place and returns the version; None if another publisher was there first.

    Args:
        fresh: Folder of the finished parts: `version`, a folder, and `labels.txt`.
        draft: What they are.

    Raises:
        RepositoryError: If something else stands there: no model, or one of another contract or other labels.
    """
    model = draft.model
    try:
        if (model / CONFIG_NAME).exists():
            (fresh / CONFIG_NAME).write_text(_standing_config(draft), encoding="utf-8")
            return _place_version(fresh, model)
        _refuse_foreign(model, fresh)
        config = build_config(draft.contract, draft.labels, draft.options)
        (fresh / CONFIG_NAME).write_text(render_config(config), encoding="utf-8")
        return _place_model(fresh, model)
    except OSError as error:
        if error.errno in _TAKEN:
            return None
        raise


def _standing_config(draft: Draft) -> str:
    path = draft.model / CONFIG_NAME
    standing = read_config(path)
    _refuse_other_contract(draft, standing)
    _refuse_other_labels(draft, standing)
    config = update_config(standing, draft.contract, draft.labels, draft.changes)
    # The file may have comments that the message has not.
    return path.read_text(encoding="utf-8") if config == standing else render_config(config)


def _place_model(fresh: Path, model: Path) -> int:
    with ExitStack() as undo:
        _rename(fresh / "version", fresh / "1", undo)
        if fresh.is_relative_to(model):
            # Staged inside the model's folder; the configuration comes last, and with it the model exists.
            for part in ("1", LABELS_NAME, CONFIG_NAME):
                _rename(fresh / part, model / part, undo)
        else:
            fresh.rename(model)
        undo.pop_all()
    return 1


def _place_version(fresh: Path, model: Path) -> int:
    number = max(claimed_numbers(model), default=0) + 1
    with ExitStack() as undo:
        _rename(fresh / "version", model / str(number), undo)
        for file_name in (LABELS_NAME, CONFIG_NAME):
            _replace_if_different(fresh / file_name, model / file_name, undo)
        undo.pop_all()
    return number


def _rename(source: Path, target: Path, undo: ExitStack) -> None:
    source.rename(target)
    undo.callback(target.rename, source)


def _replace_if_different(new: Path, old: Path, undo: ExitStack) -> None:
    if not old.exists():
        _rename(new, old, undo)
    elif new.read_bytes() != old.read_bytes():
        # Copied beforehand, so that putting it back is a rename, which needs no room on the disk.
        kept = new.with_name(f"{new.name}.before")
        shutil.copy2(old, kept)
        new.replace(old)
        undo.callback(kept.replace, old)


def _refuse_other_contract(draft: Draft, standing: Any) -> None:
    if CONTRACT_PARAMETER not in standing.parameters:
        raise RepositoryError(
            f"{draft.model} was not published by camserve: its configuration has no contract",
            hint="Publish under another name",
        )
    text = standing.parameters[CONTRACT_PARAMETER].string_value
    served = ModelContract.from_json(text, origin=str(draft.model / CONFIG_NAME))
    fields = ModelContract.model_fields
    changed = [field for field in fields if getattr(served, field) != getattr(draft.contract, field)]
    if changed:
        raise RepositoryError(
            f"{draft.model.name} is served under another contract: {', '.join(changed)} would change under its clients",
            hint=_ANOTHER_NAME,
        )


def _refuse_other_labels(draft: Draft, standing: Any) -> None:
    served = _served_labels(draft.model, standing)
    if served is None or served == draft.labels:
        return
    pairs = zip(served, draft.labels, strict=False)
    changed = next((f"class {i}, {old!r}, would be {new!r}" for i, (old, new) in enumerate(pairs) if old != new), "")
    raise RepositoryError(
        f"{draft.model.name} is served under other labels: {changed or 'their number would change'}",
        hint=_ANOTHER_NAME,
    )


def _served_labels(model: Path, standing: Any) -> tuple[str, ...] | None:
    if LABELS_PARAMETER in standing.parameters:
        return tuple(standing.parameters[LABELS_PARAMETER].string_value.split("\n"))
    return read_labels(model / LABELS_NAME) if (model / LABELS_NAME).exists() else None


def _refuse_foreign(model: Path, fresh: Path) -> None:
    if model.is_dir() and any(path not in fresh.parents for path in model.iterdir()):
        if (model / CONFIG_NAME).exists():
            raise FileExistsError(errno.EEXIST, "another publisher founded the model since the look", str(model))
        raise RepositoryError(
            f"{model} exists and is no published model", hint="Move it away, or publish under another name"
        )
    if model.exists() and not model.is_dir():
        raise RepositoryError(f"{model} exists and is not a folder", hint="Move it away, or publish under another name")
