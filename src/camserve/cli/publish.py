"""`camserve publish`: a bundle becomes the next version of a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from camserve.cli.console import print_json, say
from camserve.cli.options import Command, Json, Repository, check_choice

if TYPE_CHECKING:
    from camserve.serving import Publication

__all__ = ["publication_document", "register", "say_published"]

_EPILOG = "Example:  camserve publish bundles/resnet50 --repository model_repository --max-batch 16 --delay 500"


def _new(default: str) -> str:
    """How --help shows a default that holds for a new model."""
    return f"{default} for a new model"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=Command, epilog=_EPILOG)(publish)


def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE_DIR", help="Folder that 'camserve export' wrote.")],
    repository: Repository,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name to serve it under; the bundle's own unless given.")
    ] = None,
    max_batch: Annotated[
        int | None,
        typer.Option(metavar="N", help="Largest batch that the server accepts and builds.", show_default=_new("8")),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option(
            metavar="MICROSECONDS",
            help="How long a request may wait for others to join its batch.",
            show_default=_new("100"),
        ),
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Copies of the model that run side by side, on each device.", show_default=_new("1")
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Threads of one instance; 0 for all cores.", show_default=_new("0")),
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="auto, none, cuda, tensorrt or openvino.", show_default=_new("auto")),
    ] = None,
    warm_up: Annotated[
        bool | None,
        typer.Option(
            "--warm-up/--no-warm-up",
            help="Run batches before the model counts as ready.",
            show_default=_new("--warm-up"),
        ),
    ] = None,
    latest_versions: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many of the newest versions are served at once.", show_default=_new("1")),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a bundle to a model repository. It becomes the newest version of its model.

    An option that is left out stays as it stands where the model was published before.
    """
    from camserve.serving import Accelerator
    from camserve.serving import publish as publish_bundle

    check_choice(accelerator, get_args(Accelerator), "--accelerator")
    options = {
        "max_batch_size": max_batch,
        "max_queue_delay_us": delay,
        "instances": instances,
        "threads": threads,
        "accelerator": accelerator,
        "warmup": warm_up,
        "latest_versions": latest_versions,
    }
    given: dict[str, Any] = {option: value for option, value in options.items() if value is not None}
    if threads == 0:
        given["threads"] = None
    publication = publish_bundle(bundle, repository, name=name, options=given)
    if as_json:
        print_json(publication_document(publication))
        return
    say_published(publication)


def say_published(publication: Publication) -> None:
    """Says what was published and how to serve it."""
    say(f"Published: {publication.name}, version {publication.version}, in {publication.path}")
    say(f"Next:      camserve serve --repository {shlex.quote(str(publication.path.parent.parent))}")
    if publication.version > 1:
        say(f"           A server that is running already serves version {publication.version} once it is restarted")


def publication_document(publication: Publication) -> dict[str, Any]:
    """A publication as JSON shows it."""
    return {"name": publication.name, "version": publication.version, "path": str(publication.path)}
