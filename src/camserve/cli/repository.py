"""`camserve repository`: what stands in a model repository, whether it is sound, and how it is kept in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli import repository_view, server_options
from camserve.cli.console import Phases, note, print_json, say
from camserve.cli.grouped import GroupedCommand
from camserve.cli.options import Command, Json, Repository
from camserve.cli.publish import report_publication
from camserve.cli.repository_lint import LINT_EPILOG, lint

if TYPE_CHECKING:
    from camserve.serving.live.server import LiveServer

__all__ = ["register"]

_LIST_EPILOG = """\
Example:  camserve repository list --repository model_repository

Example:  camserve repository list --repository model_repository --url localhost:8001
"""
_VERIFY_EPILOG = """\
Example:  camserve repository verify --repository model_repository

After an edit of its config.pbtxt by hand:

Example:  camserve repository verify --repository model_repository --accept resnet50
"""
_ROLLBACK_EPILOG = """\
Example:  camserve repository rollback resnet50 --repository model_repository --url localhost:8001

Example:  camserve repository rollback resnet50 --to 3 --repository model_repository
"""
_PRUNE_EPILOG = """\
Example:  camserve repository prune --keep 3 --repository model_repository --dry-run

Example:  camserve repository prune resnet50 --keep 1 --repository model_repository
"""
_FOUND_FAULTS = 1


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    repository = typer.Typer(
        help="Look into a model repository, check it, and keep it in order.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    repository.command("list", cls=GroupedCommand, epilog=_LIST_EPILOG)(list_repository)
    repository.command("verify", cls=Command, epilog=_VERIFY_EPILOG)(verify)
    repository.command("lint", cls=Command, epilog=LINT_EPILOG)(lint)
    repository.command("rollback", cls=GroupedCommand, epilog=_ROLLBACK_EPILOG)(rollback)
    repository.command("prune", cls=GroupedCommand, epilog=_PRUNE_EPILOG)(prune)
    app.add_typer(repository, name="repository")


def list_repository(
    repository: Repository,
    url: server_options.LiveUrl = None,
    admin_key_file: server_options.AdminKeyFile = None,
    tls_ca: server_options.TlsCa = None,
    tls_certificate: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    as_json: Json = False,
) -> None:
    """List the models and their versions.

    "served" is what the configuration has served. With --url, "ready" is what that server really answers for.
    """
    from camserve.serving import list_models

    models = list_models(repository)
    ready = None
    if url is not None:
        with server_options.connect(url, admin_key_file, tls_ca, tls_certificate, tls_key) as server:
            ready = server.served()
    if as_json:
        print_json(repository_view.documents(models, ready))
        return
    if not models:
        say(f"no models in {repository}")
        return
    repository_view.show(models, ready)


def verify(
    repository: Repository,
    accept: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="First take this model's config.pbtxt for right: it was edited by hand."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold every file to its hash. Nothing is loaded, and nothing is changed unless asked for.

    Ends with 1 where a file was changed, added, removed or renamed, and names each.
    """
    from camserve.serving.repository.accept import accept_config
    from camserve.serving.repository.verify import verify_repository

    if accept is not None:
        accept_config(repository, accept)
    found = verify_repository(repository)
    if as_json:
        print_json(repository_view.verification_document(found))
    else:
        repository_view.show_verification(found)
    if found.faults:
        raise typer.Exit(_FOUND_FAULTS)


def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")],
    repository: Repository,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Version to go back to; the one before the served if left out."),
    ] = None,
    allow_contract_change: server_options.AllowContractChange = False,
    url: server_options.LiveUrl = None,
    admin_key_file: server_options.AdminKeyFile = None,
    tls_ca: server_options.TlsCa = None,
    tls_certificate: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    as_json: Json = False,
) -> None:
    """Publish an older version once more, under a new number.

    It is checked like any other. With --url the server loads it and must answer with it. Options stay as they stand.
    """
    from camserve.serving.publishing.rollback import rollback as roll_back

    number = None if to is None else repository_view.version_number(to)
    admin_key, tls = server_options.access(admin_key_file, tls_ca, tls_certificate, tls_key)
    with Phases() as phases:
        publication = roll_back(
            repository,
            model,
            to=number,
            allow_contract_change=allow_contract_change,
            url=url,
            admin_key=admin_key,
            tls=tls,
            progress=phases,
        )
    report_publication(publication, as_json=as_json)


def prune(
    repository: Repository,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="How many versions of a model remain.")],
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Names of models; all of them if left out.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    url: server_options.LiveUrl = None,
    admin_key_file: server_options.AdminKeyFile = None,
    tls_ca: server_options.TlsCa = None,
    tls_certificate: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    as_json: Json = False,
) -> None:
    """Remove the oldest versions, and never one that is served.

    With --url, none that this server holds loaded is removed either. A version whose folder is gone is struck off.
    """
    from camserve.serving.repository.prune import prune as remove_oldest

    served = None
    if url is not None:
        with server_options.connect(url, admin_key_file, tls_ca, tls_certificate, tls_key) as server:
            served = _loaded(server)
    removed = remove_oldest(repository, keep=keep, models=models or (), served=served, dry_run=dry_run, progress=note)
    if as_json:
        print_json(repository_view.pruned_document(removed, dry_run=dry_run))
        return
    repository_view.show_pruned(removed, Path(repository), dry_run=dry_run)


def _loaded(server: LiveServer) -> dict[str, set[int]]:
    """Every version that the server has in hand: ready, loading, or answering its last requests."""
    found: dict[str, set[int]] = {}
    for each in server.index():
        if each.state in ("READY", "LOADING", "UNLOADING"):
            found.setdefault(each.model, set()).add(each.version)
    return found
