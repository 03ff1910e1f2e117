"""`camserve repository lint`: the known traps in a model repository."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import print_json, say
from camserve.cli.options import Json, Repository
from camserve.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camserve.serving.repository.lint.findings import Finding

__all__ = ["LINT_EPILOG", "lint"]

LINT_EPILOG = "Example:  camserve repository lint --repository model_repository --target-triton 26.07 --cores 16"

_FOUND_ERRORS = 1


def lint(
    repository: Repository,
    target_triton: Annotated[
        str | None,
        typer.Option(metavar="RELEASE", help="Triton that will serve it; that of docker/ unless given."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cores of the host that will serve; this one's unless given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the known traps: what will not load, will answer wrongly, or will be slow.

    Ends with 1 where there are errors, and with 0 where there are warnings at most.
    """
    from camserve.serving.repository.lint.engine import lint_repository
    from camserve.serving.repository.lint.targets import NEWEST

    release = target_triton or NEWEST
    findings = lint_repository(repository, triton=release, cores=cores)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _show(findings, release)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(_FOUND_ERRORS)


def _show(findings: Sequence[Finding], release: str) -> None:
    if not findings:
        say(f"no findings for Triton {release}")
        return
    rows = [row for finding in findings for row in _rows(finding)]
    print_table(("severity", "model", "rule", "what is the matter, and what to do"), rows)
    errors = sum(finding.severity == "error" for finding in findings)
    say(f"{_counted(errors, 'error')} and {_counted(len(findings) - errors, 'warning')} for Triton {release}")


def _rows(finding: Finding) -> tuple[tuple[str, ...], ...]:
    told = (finding.severity, finding.model, finding.rule, finding.message)
    return told, ("", "", "", f"→ {finding.hint}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
