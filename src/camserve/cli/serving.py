"""`camserve publish`, `camserve serve` and `camserve repository`: bundle in, served model out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from camserve.cli.console import fail, note, print_json, print_table, say
from camserve.cli.options import Json, Repository, check_choice

if TYPE_CHECKING:
    from camserve.serving import ModelEntry, Publication, TritonServer, VersionEntry

__all__ = ["publication_document", "register", "say_published"]

_KILLED = 128  # a shell's exit code for a program that a signal ended is this plus the signal
_PUBLISH_EPILOG = "Example:  camserve publish bundles/resnet50 --repository model_repository --max-batch 16 --delay 500"
_SERVE_EPILOG = "Example:  camserve serve --repository model_repository --grpc-port 9001"
_LIST_EPILOG = "Example:  camserve repository list --repository model_repository"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=_PUBLISH_EPILOG)(publish)
    app.command(epilog=_SERVE_EPILOG)(serve)
    repository = typer.Typer(help="Look into a model repository.", no_args_is_help=True, rich_markup_mode=None)
    # Without a callback, Typer would turn a group of one command into that command.
    repository.callback()(lambda: None)
    repository.command("list", epilog=_LIST_EPILOG)(list_repository)
    app.add_typer(repository, name="repository")


def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE_DIR", help="Folder that 'camserve export' wrote.")],
    repository: Repository,
    name: Annotated[str | None, typer.Option(help="Name to serve it under; the bundle's own unless given.")] = None,
    max_batch: Annotated[int, typer.Option(help="Largest batch that the server accepts and builds.")] = 8,
    delay: Annotated[
        int, typer.Option(metavar="MICROSECONDS", help="How long a request may wait for others to join its batch.")
    ] = 100,
    instances: Annotated[int, typer.Option(help="Copies of the model that run side by side, on each device.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of one instance; all cores unless given.", show_default=False)
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto, none, cuda, tensorrt or openvino.")] = "auto",
    warm_up: Annotated[
        bool, typer.Option("--warm-up/--no-warm-up", help="Run batches before the model counts as ready.")
    ] = True,
    latest_versions: Annotated[int, typer.Option(help="How many of the newest versions are served at once.")] = 1,
    as_json: Json = False,
) -> None:
    """Add a bundle to a model repository. It becomes the newest version of its model."""
    from camserve.serving import Accelerator, ServingOptions
    from camserve.serving import publish as publish_bundle

    check_choice(accelerator, get_args(Accelerator), "--accelerator")
    options = ServingOptions(
        max_batch_size=max_batch,
        max_queue_delay_us=delay,
        instances=instances,
        threads=threads,
        accelerator=cast(Accelerator, accelerator),
        warmup=warm_up,
        latest_versions=latest_versions,
    )
    publication = publish_bundle(bundle, repository, name=name, options=options)
    if as_json:
        print_json(publication_document(publication))
        return
    say_published(publication)


def say_published(publication: Publication) -> None:
    """Says what was published and how to serve it."""
    say(f"Published: {publication.name}, version {publication.version}, in {publication.path}")
    say(f"Next:      camserve serve --repository {publication.path.parent.parent}")


def publication_document(publication: Publication) -> dict[str, Any]:
    """A publication as JSON shows it."""
    return {"name": publication.name, "version": publication.version, "path": str(publication.path)}


def list_repository(repository: Repository, as_json: Json = False) -> None:
    """List the models and their versions."""
    from camserve.serving import list_models

    models = list_models(repository)
    if as_json:
        print_json([_model_document(model) for model in models])
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


def serve(
    repository: Repository,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of HTTP; 0 takes a free one.")] = 8000,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of gRPC; 0 takes a free one.")] = 8001,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the metrics; 0 takes a free one.")
    ] = 8002,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    as_json: Json = False,
) -> None:
    """Serve a repository with the embedded Triton. Runs until it is interrupted."""
    from camserve.serving import TritonServer

    note("Starting Triton")
    server = TritonServer(repository, host=host, http_port=http_port, grpc_port=grpc_port, metrics_port=metrics_port)
    with _signals_as_exceptions():
        try:
            with server:
                _say_ready(server, as_json=as_json)
                code = server.wait()
        except _Signalled:
            note("Stopped")
            return
    fail(f"Triton ended by itself with exit code {code}; the end of its log:\n{server.log_tail}")
    raise typer.Exit(code if code >= 0 else _KILLED - code)


class _Signalled(BaseException):
    """SIGINT or SIGTERM arrived; no Exception, so that nothing on the way handles it as a failure."""


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Makes the first SIGINT or SIGTERM a `_Signalled`; further ones do not disturb the way out."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise _Signalled

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_ready(server: TritonServer, *, as_json: bool) -> None:
    from camserve.serving import list_models

    addresses = {"grpc": server.grpc_url, "http": server.http_url, "metrics": server.metrics_url}
    models = {model.name: list(model.served) for model in list_models(server.repository)}
    if as_json:
        print_json({**addresses, "models": models})
        return
    names = ", ".join(f"{name} (version {', '.join(map(str, served))})" for name, served in models.items())
    say(f"Ready: {names}")
    for name, address in addresses.items():
        say(f"  {name:8} {address}")
    note("End it with Ctrl-C")
