"""`camserve publish`: a bundle becomes the next version of a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from camserve.cli import publish_options, server_options
from camserve.cli.console import Phases, print_json, say
from camserve.cli.options import Json, Repository, check_choice
from camserve.cli.publish_options import PublishCommand

if TYPE_CHECKING:
    from camserve.serving import Publication

__all__ = ["publication_document", "register", "report_publication", "say_published"]

_EPILOG = """\
Example:  camserve publish bundles/resnet50 --repository model_repository --preset gpu --max-batch 64

Example:  camserve publish bundles/resnet50 --repository model_repository --preset cpu-throughput --cores 16
"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=PublishCommand, epilog=_EPILOG)(publish_options.with_serving_flags(publish))


def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE_DIR", help="Folder that 'camserve export' wrote.")],
    repository: Repository,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name to serve it under; the bundle's own unless given.")
    ] = None,
    preset: publish_options.Preset = None,
    cores: publish_options.Cores = None,
    settings: publish_options.Settings = None,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="onnxruntime for the ONNX file, tensorflow for the SavedModel.")
    ] = "onnxruntime",
    allow_contract_change: server_options.AllowContractChange = False,
    url: server_options.LiveUrl = None,
    admin_key_file: server_options.AdminKeyFile = None,
    tls_ca: server_options.TlsCa = None,
    tls_certificate: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    as_json: Json = False,
    **flags: Any,
) -> None:
    """Add a bundle to a model repository. It becomes the newest version of its model.

    With --url a running server loads it and must answer as the export did, or the version before is put back.

    An option that is left out stays as it stands where the model was published before.
    """
    from camserve.serving import publish as publish_bundle
    from camserve.serving.config.backends import Backend

    check_choice(backend, get_args(Backend), "--backend")
    options = publish_options.requested_options(bundle, preset, cores, settings, flags, backend)
    admin_key, tls = server_options.access(admin_key_file, tls_ca, tls_certificate, tls_key)
    with Phases() as phases:
        publication = publish_bundle(
            bundle,
            repository,
            name=name,
            options=options,
            backend=cast("Backend", backend),
            allow_contract_change=allow_contract_change,
            url=url,
            admin_key=admin_key,
            tls=tls,
            progress=phases,
        )
    report_publication(publication, as_json=as_json)


def report_publication(publication: Publication, *, as_json: bool) -> None:
    """Says what was published, as JSON or in words."""
    if as_json:
        print_json(publication_document(publication))
    else:
        say_published(publication)


def say_published(publication: Publication) -> None:
    """Says what was published and how to serve it."""
    again = "" if publication.source_version is None else f", which is version {publication.source_version} once more"
    say(f"Published: {publication.name}, version {publication.version}{again}, in {publication.path}")
    if publication.url is not None:
        say(f"Serving:   {publication.url} answers with it, and as the export did")
        return
    if not publication.served:
        say("           Its version policy does not serve it; --latest-versions 1 has the newest served from now on")
        return
    say(f"Next:      camserve serve --repository {shlex.quote(str(publication.path.parent.parent))}")
    if publication.version > 1:
        say(f"           A server that is running serves version {publication.version} once it is restarted, or, in")
        say("           explicit mode, told to load it; --url HOST:PORT does that, and tries its answers")


def publication_document(publication: Publication) -> dict[str, Any]:
    """A publication as JSON shows it."""
    return {
        "name": publication.name,
        "version": publication.version,
        "path": str(publication.path),
        "url": publication.url,
        "served": publication.served,
        "again": publication.source_version,
    }
