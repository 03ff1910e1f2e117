"""The options of commands that ask a served model, and the classifier that they become."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camserve.cli.server_options import PANEL, TlsCa, TlsCertificate, TlsKey, client_tls
from camserve.errors import UsageError
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.clients import Classifier

__all__ = ["Model", "Timeout", "TlsCa", "TlsCertificate", "TlsKey", "TokenFile", "Url", "Version", "open_classifier"]

_TOKEN_VARIABLE = "CAMSERVE_TOKEN"  # noqa: S105  (the name of a variable, no token)


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, **settings)


Model = Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the served model.")]
Version = Annotated[
    str,
    _option(
        "--version",
        metavar="NUMBER",
        help="Version of the model; the newest that is served unless given.",
        show_default=False,
    ),
]
Url = Annotated[
    str,
    _option(
        "--url",
        metavar="HOST:PORT",
        help="gRPC address of the server; several, with commas between them, share the work and stand in for one "
        "another.",
    ),
]
Timeout = Annotated[
    float, _option("--timeout", metavar="SECONDS", help="How long an answer may take, retries included.")
]
TokenFile = Annotated[
    Path | None,
    _option(
        "--token-file",
        metavar="FILE",
        help=f"File with the bearer token that the server wants to see; else the environment variable "
        f"{_TOKEN_VARIABLE}. It is sent to another host only with TLS.",
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
    """A classifier that is connected as the options say; to be closed.

    Raises:
        UsageError: If an option makes no sense, or a file that one names cannot be read.
        ClientError: If no server of these serves the model.
    """
    from camserve.clients import Classifier

    tls = client_tls(tls_ca, tls_certificate, tls_key)
    return Classifier(url, model, version=version, timeout=timeout, tls=tls, token=_read_token(token_file), **settings)


def _read_token(file: Path | None) -> str | None:
    """The token of the file where one is given, else of the environment, else none."""
    if file is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the token cannot be read from {printable(file)}: {why}", hint="Give a text file") from error
    if not token:
        raise UsageError(f"the token file {printable(file)} is empty", hint="Write the token into it")
    return token
