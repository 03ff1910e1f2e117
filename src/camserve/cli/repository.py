"""`camserve repository`: list, show, verify, lint, roll back and prune models; write a backend for the container."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli import live_server_options, repository_view
from camserve.cli.console import print_json, print_line, print_note
from camserve.cli.help_layout import Command, Group
from camserve.cli.progress_view import Phases
from camserve.cli.publish import report_publication
from camserve.cli.repository_backend import BACKEND_EPILOG, backend
from camserve.cli.repository_lint import LINT_EPILOG, lint
from camserve.cli.repository_show import SHOW_EPILOG, show_model
from camserve.cli.shared_options import AllowContractChange, Json, Repository, complete_model

if TYPE_CHECKING:
    from camserve.serving.live.server import LiveServer

__all__ = ["register"]

_LIST_EPILOG = """\
Example:  camserve repository list --repository model_repository

Example:  camserve repository list --repository model_repository --url localhost:8001
"""
_VERIFY_EPILOG = """\
Example:  camserve repository verify --repository model_repository

After you have edited the config.pbtxt of a model:

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
    """Add the commands to the program."""
    repository = typer.Typer(
        cls=Group,
        help="List, show, verify and maintain the models of a repository.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    repository.command("list", cls=Command, epilog=_LIST_EPILOG)(list_repository)
    repository.command("show", cls=Command, epilog=SHOW_EPILOG)(show_model)
    repository.command("verify", cls=Command, epilog=_VERIFY_EPILOG)(verify)
    repository.command("lint", cls=Command, epilog=LINT_EPILOG)(lint)
    repository.command("rollback", cls=Command, epilog=_ROLLBACK_EPILOG)(rollback)
    repository.command("prune", cls=Command, epilog=_PRUNE_EPILOG)(prune)
    repository.command("backend", cls=Command, epilog=BACKEND_EPILOG)(backend)
    app.add_typer(repository, name="repository")


def list_repository(
    repository: Repository,
    url: live_server_options.LiveUrl = None,
    admin_key_file: live_server_options.AdminKeyFile = None,
    tls_ca: live_server_options.TlsCa = None,
    tls_certificate: live_server_options.TlsCertificate = None,
    tls_key: live_server_options.TlsKey = None,
    as_json: Json = False,
) -> None:
    """List the models and their versions.

    The column "served" is what the configuration selects. With --url, "ready" is what that server reports as ready.
    """
    from camserve.serving import list_models

    models = list_models(repository)
    ready = None
    if url is not None:
        with live_server_options.connect(url, admin_key_file, tls_ca, tls_certificate, tls_key) as server:
            ready = server.served()
    if as_json:
        print_json(repository_view.documents(models, ready))
        return
    if not models:
        print_line(f"no models in {repository}")
        return
    repository_view.show(models, ready)


def verify(
    repository: Repository,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="First accept the config.pbtxt of this model, which was edited by hand.",
            autocompletion=complete_model,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify every file against its checksum.

    No model is loaded, and nothing is changed except by --accept. Exit code 1 if a file was changed, added, removed or
    renamed; each is listed.
    """
    from camserve.serving.repository.accept import accept_config
    from camserve.serving.repository.verify import verify_repository

    if accept is not None:
        accept_config(repository, accept)
    verification = verify_repository(repository)
    if as_json:
        print_json(repository_view.verification_document(verification))
    else:
        repository_view.show_verification(verification)
    if verification.faults:
        raise typer.Exit(_FOUND_FAULTS)


def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.", autocompletion=complete_model)],
    repository: Repository,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Version to restore.  [default: the one before the served version]"),
    ] = None,
    allow_contract_change: AllowContractChange = False,
    url: live_server_options.LiveUrl = None,
    admin_key_file: live_server_options.AdminKeyFile = None,
    tls_ca: live_server_options.TlsCa = None,
    tls_certificate: live_server_options.TlsCertificate = None,
    tls_key: live_server_options.TlsKey = None,
    as_json: Json = False,
) -> None:
    """Publish an older version again, under a new number.

    It is verified like any other version. With --url a running server loads it and must return the outputs recorded at
    export. The serving options do not change.
    """
    from camserve.serving.publishing.rollback import rollback as roll_back

    number = None if to is None else repository_view.version_number(to)
    admin_key, tls = live_server_options.read_access(admin_key_file, tls_ca, tls_certificate, tls_key)
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
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Number of versions of each model to keep.")],
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Names of models.  [default: all models]", autocompletion=complete_model),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    url: live_server_options.LiveUrl = None,
    admin_key_file: live_server_options.AdminKeyFile = None,
    tls_ca: live_server_options.TlsCa = None,
    tls_certificate: live_server_options.TlsCertificate = None,
    tls_key: live_server_options.TlsKey = None,
    as_json: Json = False,
) -> None:
    """Remove the oldest versions that are not served.

    With --url, versions that this server has loaded are kept too. Versions whose folder is missing are removed from the
    model's list.
    """
    from camserve.serving.repository.prune import prune as remove_oldest

    served = None
    if url is not None:
        with live_server_options.connect(url, admin_key_file, tls_ca, tls_certificate, tls_key) as server:
            served = _loaded(server)
    removed = remove_oldest(
        repository, keep=keep, models=models or (), served=served, dry_run=dry_run, progress=print_note
    )
    if as_json:
        print_json(repository_view.pruned_document(removed, dry_run=dry_run))
        return
    repository_view.show_pruned(removed, Path(repository), dry_run=dry_run)


def _loaded(server: LiveServer) -> dict[str, set[int]]:
    """Return every version that the server uses: ready, loading, or with requests in flight."""
    versions: dict[str, set[int]] = {}
    for each in server.index():
        if each.state in ("READY", "LOADING", "UNLOADING"):
            versions.setdefault(each.model, set()).add(each.version)
    return versions
