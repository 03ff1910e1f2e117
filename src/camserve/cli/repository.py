"""`camserve repository`: what stands in a model repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from camserve.cli.console import print_json, print_table, say
from camserve.cli.options import Json, Repository

if TYPE_CHECKING:
    from camserve.serving import ModelEntry, VersionEntry

__all__ = ["register"]

_LIST_EPILOG = "Example:  camserve repository list --repository model_repository"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    repository = typer.Typer(help="Look into a model repository.", no_args_is_help=True, rich_markup_mode=None)
    # Without a callback, Typer would turn a group of one command into that command.
    repository.callback()(lambda: None)
    repository.command("list", epilog=_LIST_EPILOG)(list_repository)
    app.add_typer(repository, name="repository")


def list_repository(repository: Repository, as_json: Json = False) -> None:
    """List the models and their versions."""
    from camserve.serving import list_models

    models = list_models(repository)
    if as_json:
        print_json([_model_document(model) for model in models])
        return
    if not models:
        say(f"no models in {repository}")
        return
    columns = ("model", "version ", "served", "precision", "MB ", "published (UTC)")
    print_table(columns, [_version_row(model.name, version) for model in models for version in model.versions])


def _model_document(model: ModelEntry) -> dict[str, Any]:
    return {"name": model.name, "versions": [_version_document(version) for version in model.versions]}


def _version_document(version: VersionEntry) -> dict[str, Any]:
    return {
        "version": version.number,
        "served": version.served,
        "precision": version.precision,
        "bytes": version.size,
        "published": version.published.isoformat(timespec="seconds"),
    }


def _version_row(model: str, version: VersionEntry) -> tuple[object, ...]:
    size = f"{version.size / 1e6:.1f}"
    served = "yes" if version.served else "no"
    return model, version.number, served, version.precision or "-", size, f"{version.published:%Y-%m-%d %H:%M}"
