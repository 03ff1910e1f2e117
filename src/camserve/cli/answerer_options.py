"""Checks of the options of `score` and `evaluate` that say what answers: a served model, or a bundle in this process."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import typer

from camserve.cli.live_server_options import PANEL
from camserve.errors import UsageError

__all__ = ["check_answerer", "given_options"]


def check_answerer(context: typer.Context, model: str | None, bundle: Path | None) -> None:
    """Check that either --model or --bundle was given, and with --bundle no option that concerns a server.

    Raises:
        UsageError: If not.
    """
    if (model is None) == (bundle is None):
        raise UsageError(
            "neither --model nor --bundle was given" if model is None else "--model and --bundle exclude each other",
            hint="Pass --model NAME for a model on a server, or --bundle DIR for a bundle on this host",
        )
    for option in given_options(context, (PANEL,)) if bundle is not None else ():
        raise UsageError(
            f"{option} concerns a server, and --bundle answers without one",
            hint=f"Leave out {option}, or pass --model NAME instead of --bundle",
        )


def given_options(context: typer.Context, panels: Collection[str]) -> list[str]:
    """Return the options of the command line that the help shows under these headings."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if getattr(parameter, "rich_help_panel", None) in panels
        and getattr(context.get_parameter_source(str(parameter.name)), "name", "") == "COMMANDLINE"
    ]
