"""What answers for `score` and `evaluate`: a model on a server, or a bundle on this host."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import typer

from camserve.cli import client_options
from camserve.cli.live_server_options import PANEL
from camserve.errors import UsageError

__all__ = ["answerer_arguments", "given_options"]

_PATIENCE = "patience"
"""An option that concerns servers, with those of a run."""


def answerer_arguments(
    context: typer.Context,
    *,
    model: str | None,
    bundle: Path | None,
    tls_ca: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    **server: Any,
) -> dict[str, Any]:
    """Return the arguments of `score_table` that say what answers.

    Args:
        context: The command line.
        model: The model on a server.
        bundle: The bundle.
        tls_ca: See `client_options`.
        tls_certificate: See `client_options`.
        tls_key: See `client_options`.
        token_file: See `client_options`.
        server: Further arguments that concern a server.

    Raises:
        UsageError: If none or both of --model and --bundle were given, or --bundle with an option that concerns a
            server.
    """
    if (model is None) == (bundle is None):
        raise UsageError(
            "neither --model nor --bundle was given" if model is None else "--model and --bundle exclude each other",
            hint="Pass --model NAME for a model on a server, or --bundle DIR for a bundle on this host",
        )
    if bundle is None:
        return {"model": model, **server, **client_options.security(tls_ca, tls_certificate, tls_key, token_file)}
    for option in given_options(context, panels=(PANEL,), names=(_PATIENCE,)):
        raise UsageError(
            f"{option} concerns a server, and --bundle answers without one",
            hint=f"Leave out {option}, or pass --model NAME instead of --bundle",
        )
    return {"bundle": bundle}


def given_options(context: typer.Context, *, panels: Collection[str], names: Collection[str] = ()) -> list[str]:
    """Return the options of the command line with these names of parameters, or under these headings of the help."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if (parameter.name in names or getattr(parameter, "rich_help_panel", None) in panels)
        and getattr(context.get_parameter_source(str(parameter.name)), "name", "") == "COMMANDLINE"
    ]
