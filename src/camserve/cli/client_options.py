"""The options of `classify` and `score`, which send requests to a served model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli.live_server_options import PANEL, TlsCa, TlsCertificate, TlsKey, client_tls
from camserve.errors import UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.clients import Classifier

__all__ = [
    "PANEL",
    "Model",
    "PinVersion",
    "Send",
    "Timeout",
    "TlsCa",
    "TlsCertificate",
    "TlsKey",
    "TokenFile",
    "Url",
    "Version",
    "open_classifier",
    "security",
]

_TOKEN_VARIABLE = "CAMSERVE_TOKEN"  # noqa: S105  (the name of a variable, not a token)


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, **settings)


Model = Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the model on the server.")]
Version = Annotated[
    str,
    _option(
        "--version",
        metavar="NUMBER",
        help="Version of the model.  [default: the newest that is served]",
        show_default=False,
    ),
]
PinVersion = Annotated[
    bool,
    _option(
        "--pin-version",
        help="Require one version for all images: the one that is served at the start, even if a newer one is loaded "
        "meanwhile. Fail if it is unloaded.",
    ),
]
Url = Annotated[
    str,
    _option(
        "--url",
        metavar="HOST:PORT",
        help="gRPC address of the server. With several, separated by commas, requests are distributed, and go to "
        "another server when one fails.",
    ),
]
Timeout = Annotated[
    float,
    _option(
        "--timeout",
        metavar="SECONDS",
        help="Time limit of each request, retries and the wait for a server that restarts included.",
    ),
]
Send = Annotated[
    str,
    _option(
        "--send",
        metavar="pixels|files",
        help="What is sent of an image file: pixels, which this process decodes and resizes, or files as they are, "
        "which a model published with --image-files decodes on the server.",
    ),
]
TokenFile = Annotated[
    Path | None,
    _option(
        "--token-file",
        metavar="FILE",
        help=f"File with a bearer token to send; to another host only with TLS.  [default: ${_TOKEN_VARIABLE}]",
        show_default=False,
    ),
]


def open_classifier(
    url: str,
    model: str,
    *,
    version: str,
    timeout: float,
    tls_ca: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    **settings: Any,
) -> Classifier:
    """Connect a classifier with these options; the caller closes it.

    Raises:
        UsageError: If an option is invalid, or a file that it names cannot be read.
        ClientError: If none of the servers serves the model.
    """
    from camserve.clients import Classifier

    settings |= security(tls_ca, tls_certificate, tls_key, token_file)
    return Classifier(url, model, version=version, timeout=timeout, **settings)


def security(
    tls_ca: Path | None, tls_certificate: Path | None, tls_key: Path | None, token_file: Path | None
) -> dict[str, Any]:
    """Return the arguments of a classifier for encryption and authorization.

    Raises:
        UsageError: If a file cannot be read.
    """
    return {"tls": client_tls(tls_ca, tls_certificate, tls_key), "token": _read_token(token_file)}


def _read_token(file: Path | None) -> str | None:
    """Return the token of the file or else of the environment, None if there is none."""
    if file is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"the token file {printable(file)} cannot be read: {reason}", hint="Pass a text file to --token-file"
        ) from None
    if not token:
        raise UsageError(f"the token file {printable(file)} is empty", hint="Write the token into it")
    return token
