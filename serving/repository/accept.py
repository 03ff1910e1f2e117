"""Taking an edit by hand for right."""

from __future__ import annotations

from pathlib import Path

from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import RepositoryError
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.repository.durable import rename, write_text
from camserve.serving.repository.ledger import read_ledger
from camserve.serving.repository.listing import open_repository
from camserve.serving.repository.lock import locked
from camserve.serving.repository.seal import seal
from camserve.serving.repository.staging import remove_leftovers, staged
from camserve.serving.repository.unknown_model import unknown_model

__all__ = ["accept_config"]


def accept_config(repository: str | Path, model: str) -> None:
    """Takes a configuration that was edited by hand for right, from now on.

    Args:
        repository: The repository's folder.
        model: Name of the model.

    Raises:
        RepositoryError: If there is no such model, or the file is no configuration of camserve any more.
    """
    root = open_repository(repository)
    path = root / model / CONFIG_NAME
    with locked(root, f"accepts the configuration of {model}"):
        if model not in {each.name for each in root.iterdir()} or not path.is_file():
            raise unknown_model(root, model)
        config = read_config(path)
        if CONTRACT_PARAMETER not in config.parameters or config.name != model or not read_ledger(config, path.parent):
            raise RepositoryError(
                f"{path} has lost its name, its contract or its list of versions", hint="Restore it from a copy"
            )
        remove_leftovers(root)
        with staged(root, path.parent) as stage:
            write_text(stage / CONFIG_NAME, seal(path.read_bytes().decode("utf-8")))
            (stage / CONFIG_NAME).chmod(path.stat().st_mode & 0o777)
            rename(stage / CONFIG_NAME, path)
