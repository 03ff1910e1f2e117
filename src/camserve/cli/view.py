"""`camserve view`: a page in the browser to try a served model."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli import client_options, reading_options
from camserve.cli.console import print_json, print_line, print_logged_warnings, print_note, print_warning
from camserve.cli.help_layout import Command
from camserve.cli.shared_options import Json
from camserve.cli.signals import Signaled, signals_as_exits

if TYPE_CHECKING:
    from camserve.view import PageServer

__all__ = ["register"]

_EPILOG = """Example:  camserve view --model resnet50

Example:  camserve view --model resnet50 --url gpu1:8001 --tls-ca ca.pem --port 0

To open the page of another host in your browser, forward its port, and leave the page closed to all others:

Example:  ssh -L 8003:127.0.0.1:8003 gpu1
"""
_PAGE = "Page"
_ENDING = (signal.SIGINT, signal.SIGTERM)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(view)


def view(
    model: client_options.Model,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_PAGE,
            help="Address to serve the page on. With another than the loopback address, everyone who reaches it can "
            "classify images with the access that this command has to the server.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", rich_help_panel=_PAGE, help="Port of the page; 0 selects a free port."
        ),
    ] = 8003,
    as_json: Json = False,
    exif: reading_options.Exif = False,
    fast_jpeg: reading_options.FastJpeg = False,
    max_pixels: reading_options.MaxPixels = reading_options.MAX_PIXELS,
    max_bytes: reading_options.MaxBytes = reading_options.MAX_BYTES,
    url: client_options.Url = "localhost:8001",
    timeout: client_options.Timeout = 10.0,
    tls_ca: client_options.TlsCa = None,
    tls_certificate: client_options.TlsCertificate = None,
    tls_key: client_options.TlsKey = None,
    token_file: client_options.TokenFile = None,
) -> None:
    """Try a served model on a page in your browser.

    Drop, paste or choose an image: the page shows its classes, with the class activation map of each as an overlay,
    and two versions of the model side by side. It is served on the loopback interface, until Ctrl-C.
    """
    from camserve.clients import DecodeOptions
    from camserve.view import PageServer, Versions, ViewOptions

    print_logged_warnings("camserve.view")
    options = ViewOptions(host=host, port=port)
    decode_options = DecodeOptions(exif=exif, fast_jpeg=fast_jpeg, max_pixels=max_pixels, max_bytes=max_bytes)
    connect = partial(
        client_options.open_classifier,
        url,
        model,
        timeout=timeout,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
        decode_options=decode_options,
    )
    with (
        Versions(lambda version: connect(version=version)) as versions,
        PageServer(versions, options, decode_options) as server,
    ):
        ready = versions.ready()
        if not options.is_local:
            print_warning(
                f"everyone who reaches {host} can open the page, which is not encrypted, and classify images with your "
                "access to the server"
            )
        _serve(server, ready, as_json=as_json)


def _serve(server: PageServer, ready: tuple[str, ...], *, as_json: bool) -> None:
    """Report that the page is ready, and serve it until a signal ends it."""
    with signals_as_exits(_ENDING, second_interrupt=False):
        try:
            if as_json:
                print_json({"url": server.url, "model": server.versions.model, "versions": [*map(int, ready)]})
            else:
                print_line(f"Ready: {server.url}  ({server.versions.model}, version {', '.join(ready)})")
                print_note("Stop it with Ctrl-C")
            server.serve_forever()
        except Signaled as signaled:
            if signaled.signal not in _ENDING:
                raise
            print_note("Stopped")
