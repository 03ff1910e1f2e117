"""`camserve publish`, `camserve serve` and `camserve repository`: bundle in, served model out."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from camserve.cli.console import note, print_json, print_table, say
from camserve.cli.options import Command, Json, Repository, check_choice
from camserve.errors import ServerError

if TYPE_CHECKING:
    from camserve.serving import ModelEntry, Publication, TritonServer, VersionEntry

__all__ = ["publication_document", "register", "say_published"]

_LOG_LINES = 15
_PUBLISH_EPILOG = "Example:  camserve publish bundles/resnet50 --repository model_repository --max-batch 16 --delay 500"
_SERVE_EPILOG = "Example:  camserve serve --repository model_repository --grpc-port 9001"
_LIST_EPILOG = "Example:  camserve repository list --repository model_repository"


def _new(default: str) -> str:
    """How --help shows a default that holds for a new model."""
    return f"{default} for a new model"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(cls=Command, epilog=_PUBLISH_EPILOG)(publish)
    app.command(epilog=_SERVE_EPILOG)(serve)
    repository = typer.Typer(help="Look into a model repository.", no_args_is_help=True, rich_markup_mode=None)
    # Without a callback, Typer would turn a group of one command into that command.
    repository.callback()(lambda: None)
    repository.command("list", epilog=_LIST_EPILOG)(list_repository)
    app.add_typer(repository, name="repository")


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


def serve(
    repository: Repository,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of HTTP; 0 takes a free one.")
    ] = 8000,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of gRPC; 0 takes a free one.")
    ] = 8001,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of the metrics; 0 takes a free one.")
    ] = 8002,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File that Triton's log is appended to.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a repository with the embedded Triton. Runs until it is interrupted."""
    from camserve.serving import TritonServer

    note("Starting Triton")
    server = TritonServer(
        repository, host=host, http_port=http_port, grpc_port=grpc_port, metrics_port=metrics_port, log=log
    )
    with _signals_as_exceptions():
        try:
            with _log_shown(server), server:
                _say_ready(server, as_json=as_json)
                code = server.wait()
        except _Signalled:
            note("Stopped")
            return
    raise ServerError(f"Triton ended by itself with {_outcome(code)}; the end of its log:\n{_log_end(server)}")


@contextmanager
def _log_shown(server: TritonServer) -> Iterator[None]:
    """Adds the end of the log to the failure of a server that was started."""
    try:
        yield
    except ServerError as error:
        end = _log_end(server)
        if not end or "\n" in error.message:  # it has none, or is told already
            raise
        raise ServerError(f"{error.message}; the end of its log:\n{end}", hint=error.hint) from error


def _log_end(server: TritonServer) -> str:
    return "\n".join(server.log_tail.splitlines()[-_LOG_LINES:])


def _outcome(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


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
    addresses = {"grpc": server.grpc_url, "http": server.http_url, "metrics": server.metrics_url}
    models = {name: list(versions) for name, versions in server.served().items()}
    if as_json:
        print_json({**addresses, "models": models})
        return
    names = ", ".join(f"{name} (version {', '.join(map(str, served))})" for name, served in models.items())
    say(f"Ready: {names}")
    for name, address in addresses.items():
        say(f"  {name:8} {address}")
    note("End it with Ctrl-C")
