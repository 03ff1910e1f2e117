"""`camserve doctor`: what this host can do, and what is missing for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import print_json, print_note
from camserve.cli.help_layout import Command
from camserve.cli.shared_options import Json, check_choice, one_of

if TYPE_CHECKING:
    from camserve.doctor import Verdict

__all__ = ["register"]

_NAMES = ("clients", "export", "serve-cpu", "serve-gpu", "serve-tensorrt", "int8-cpu", "bf16-cpu")
"""The purposes, without the import of `camserve.doctor`; a test compares them."""

_EPILOG = """Example:  camserve doctor

Example:  camserve doctor --for serve-gpu --quiet
"""

_NOT_READY = 1


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(doctor)


def doctor(
    purposes: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="PURPOSE",
            help=f"Check only this purpose; the exit code is 1 unless this host is ready for it. One of "
            f"{', '.join(_NAMES)}; may be repeated.",
            autocompletion=one_of(_NAMES),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what this host can do, what is missing for the rest, and what is broken.

    Frameworks and drivers are tried in processes of their own. The exit code is 1 if something that is installed is
    broken. What is only missing, such as a GPU, is no fault, except for --for.
    """
    for purpose in purposes or ():
        check_choice(purpose, _NAMES, "--for")
    from camserve.doctor import Host, find_faults, judge

    print_note("Trying what is installed, which takes seconds")
    host = Host()
    verdicts = [judge(purpose, host) for purpose in dict.fromkeys(purposes or _NAMES)]
    if purposes:
        _print_verdicts(verdicts, as_json=as_json)
        raise typer.Exit(_NOT_READY if any(not verdict.ready for verdict in verdicts) else 0)
    from camserve.cli.doctor_view import document, show

    faults = find_faults(host)
    if as_json:
        print_json(document(host, verdicts, faults))
    else:
        show(host, verdicts, faults)
    raise typer.Exit(_NOT_READY if faults else 0)


def _print_verdicts(verdicts: list[Verdict], *, as_json: bool) -> None:
    from camserve.cli.doctor_view import show_verdicts, verdicts_document

    if as_json:
        print_json({"purposes": verdicts_document(verdicts)})
    else:
        show_verdicts(verdicts)
