"""Accepting a configuration that was edited by hand."""

from __future__ import annotations

from pathlib import Path

from camserve.contract import CONTRACT_PARAMETER
from camserve.errors import RepositoryError
from camserve.regular_file import read_regular_file
from camserve.serving.config.message import CONFIG_NAME, read_config
from camserve.serving.repository.durable import replace_text
from camserve.serving.repository.ledger import read_carried_contract, read_ledger
from camserve.serving.repository.listing import check_known_models, open_repository
from camserve.serving.repository.lock import locked
from camserve.serving.repository.seal import seal
from camserve.serving.repository.staging_area import remove_leftovers, staged

__all__ = ["accept_config"]


def accept_config(repository: str | Path, model: str) -> None:
    """Accept the current `config.pbtxt` of a model as correct, after an edit by hand.

    Args:
        repository: The repository's folder.
        model: Name of the model.

    Raises:
        RepositoryError: If the model is unknown, the file is no longer a configuration that camserve wrote, or its
            contract is invalid.
    """
    root = open_repository(repository)
    with locked(root, f"accepting the configuration of {model}"):
        check_known_models(root, [model])
        path = root / model / CONFIG_NAME
        config = read_config(path)
        if CONTRACT_PARAMETER not in config.parameters or config.name != model or not read_ledger(config, path):
            raise RepositoryError(
                f"{path} has lost its name, its contract or its list of versions", hint="Restore the file from a backup"
            )
        read_carried_contract(config, path)
        remove_leftovers(root)
        with staged(root, path.parent) as stage:
            replace_text(path, seal(read_regular_file(path).decode("utf-8")), stage=stage)
