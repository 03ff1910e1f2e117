"""`camserve repository lint`: find common problems in a model repository."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import print_json, print_line
from camserve.cli.shared_options import Json, Repository
from camserve.cli.tables import print_table
from camserve.serving.repository.lint.targets import DEFAULT_RELEASE
from camserve.text import count

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
        typer.Option(metavar="RELEASE", help=f"Triton release that will serve it.  [default: {DEFAULT_RELEASE}]"),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cores of the serving host.  [default: this host's]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find models that will not load, return wrong results or be slow.

    The exit code is 1 if there are errors, and 0 if there are only warnings or no findings.
    """
    from camserve.serving import lint_repository

    release = target_triton or DEFAULT_RELEASE
    findings = lint_repository(repository, triton=release, cores=cores)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _show(findings, release)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(_FOUND_ERRORS)


def _show(findings: Sequence[Finding], release: str) -> None:
    if not findings:
        print_line(f"no findings for Triton {release}")
        return
    rows = [row for finding in findings for row in _rows(finding)]
    print_table(("severity", "model", "rule", "problem and fix"), rows)
    errors = sum(finding.severity == "error" for finding in findings)
    print_line(f"{count(errors, 'error')} and {count(len(findings) - errors, 'warning')} for Triton {release}")


def _rows(finding: Finding) -> tuple[tuple[str, ...], ...]:
    problem = (finding.severity, finding.model, finding.rule, finding.message)
    return problem, ("", "", "", f"→ {finding.hint}")
