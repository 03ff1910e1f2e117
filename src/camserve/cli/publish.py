"""`camserve publish`: add a bundle to a model repository as the next version of its model."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from camserve.cli import live_server_options, publish_options
from camserve.cli.console import print_json, print_line, print_warning
from camserve.cli.option_file_errors import naming_file
from camserve.cli.progress_view import Phases
from camserve.cli.publish_options import PublishCommand
from camserve.cli.shared_options import AllowContractChange, Json, Repository, check_choice
from camserve.serving.config.backends import Backend

if TYPE_CHECKING:
    from camserve.serving import Publication

__all__ = ["print_publication", "publication_document", "register", "report_publication"]

_EPILOG = """\
Example:  camserve publish bundles/resnet50 --repository model_repository --preset gpu --max-batch 64

Example:  camserve publish bundles/resnet50 --repository model_repository --preset cpu-throughput --cores 16

Example:  camserve publish bundles/resnet50 --repository model_repository --options tuned.toml
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=PublishCommand, epilog=_EPILOG)(publish_options.with_serving_flags(publish))


def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE_DIR", help="Folder that 'camserve export' wrote.")],
    repository: Repository,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model.  [default: that of the bundle]")
    ] = None,
    preset: publish_options.Preset = None,
    cores: publish_options.Cores = None,
    options_file: publish_options.OptionsFile = None,
    settings: publish_options.Settings = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="onnxruntime or openvino for the ONNX file, tensorflow for the SavedModel.  [default: that of "
            "--options, or openvino for a bundle in bf16, or onnxruntime]",
        ),
    ] = None,
    allow_contract_change: AllowContractChange = False,
    url: live_server_options.LiveUrl = None,
    admin_key_file: live_server_options.AdminKeyFile = None,
    tls_ca: live_server_options.TlsCa = None,
    tls_certificate: live_server_options.TlsCertificate = None,
    tls_key: live_server_options.TlsKey = None,
    as_json: Json = False,
    **flags: Any,
) -> None:
    """Add a bundle to a model repository as the newest version of its model.

    With --url a running server loads it and must return the outputs recorded at export; otherwise the publication is
    rolled back.

    Options that are not given keep the values of the model's previous publication.
    """
    if backend is not None:
        check_choice(backend, get_args(Backend), "--backend")
    requested = publish_options.requested_options(bundle, preset, cores, options_file, settings, flags, backend)
    admin_key, tls = live_server_options.read_access(admin_key_file, tls_ca, tls_certificate, tls_key)
    # Imported after the checks, since it loads gRPC.
    from camserve.serving import publish as publish_bundle

    with naming_file(options_file), Phases() as phases:
        publication = publish_bundle(
            bundle,
            repository,
            name=name,
            options=requested.options,
            backend=requested.backend,
            allow_contract_change=allow_contract_change,
            url=url,
            admin_key=admin_key,
            tls=tls,
            progress=phases,
        )
    report_publication(publication, as_json=as_json)


def report_publication(publication: Publication, *, as_json: bool) -> None:
    """Print what was published, as JSON or as text, and its warnings, also for each tolerance widened at export."""
    for warning in (*publication.widened, *publication.warnings):
        print_warning(f"{publication.name}: {warning}")
    if as_json:
        print_json(publication_document(publication))
    else:
        print_publication(publication)


def print_publication(publication: Publication) -> None:
    """Print what was published and how to serve it."""
    source = "" if publication.source_version is None else f" (version {publication.source_version} again)"
    print_line(f"Published: {publication.name}, version {publication.version}{source}, in {publication.path}")
    if publication.backend != "onnxruntime":
        print_line(f"Backend:   {publication.backend}")
    if publication.file_model is not None:
        print_line(f"           {publication.file_model} takes image files for it: docs/image-files.md")
    if publication.url is not None:
        print_line(
            f"Serving:   {publication.url} loaded it and returns the outputs recorded at export{_place(publication)}"
        )
        return
    if not publication.served:
        print_line("           The model's version policy does not serve it. To serve the newest version,")
        print_line("           publish with --latest-versions 1.")
        return
    print_line(f"Next:      camserve serve --repository {shlex.quote(str(publication.path.parent.parent))}")
    if publication.version > 1:
        print_line("           A running server loads it when it is restarted. In explicit mode, publish with")
        print_line("           --url HOST:PORT: the server loads the version and its outputs are verified.")


def publication_document(publication: Publication) -> dict[str, Any]:
    """Return a publication as JSON."""
    return {
        "name": publication.name,
        "version": publication.version,
        "path": str(publication.path),
        "url": publication.url,
        "served": publication.served,
        "again": publication.source_version,
        "widened": [asdict(each) for each in publication.widened],
        "provider": publication.provider,
        "backend": publication.backend,
        "file_model": publication.file_model,
        "warnings": list(publication.warnings),
    }


def _place(publication: Publication) -> str:
    """Return what the published version runs on, as the end of a sentence."""
    if publication.provider is None:
        return ""
    return ", on the CPU" if publication.provider == "CPU" else f", on {publication.provider}"
