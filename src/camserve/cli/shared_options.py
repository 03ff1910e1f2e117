"""Options that several commands share, their completion, and the check of a value that is one of a few."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated

import typer

from camserve.errors import UsageError
from camserve.text import suggest

__all__ = ["AllowContractChange", "Json", "Repository", "check_choice", "complete_model", "one_of"]

Json = Annotated[bool, typer.Option("--json", help="Print the result, or the error, as JSON.")]
Repository = Annotated[Path, typer.Option("--repository", metavar="DIR", help="Folder of the model repository.")]
AllowContractChange = Annotated[
    bool,
    typer.Option(
        "--allow-contract-change",
        help="Publish even if the input, the outputs, the preprocessing or the labels change for clients.",
    ),
]


def one_of(choices: Collection[str]) -> Callable[[str], list[str]]:
    """Return the shell completion of an option whose value is one of these."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a model of the repository that was given before it, by --repository."""
    repository = context.params.get("repository")
    if repository is None:
        return []
    names = sorted(path.parent.name for path in Path(repository).glob("*/config.pbtxt"))
    return [name for name in names if name.startswith(incomplete)]


def check_choice(value: str | None, choices: Collection[str], option: str) -> None:
    """Check that the value of an option, where there is one, is one of the choices.

    Args:
        value: The value; None where the option was not given.
        choices: The valid values.
        option: The option, such as `--precision`.

    Raises:
        UsageError: If it is not.
    """
    if value is not None and value not in choices:
        raise UsageError(
            f"{option} must be one of {', '.join(choices)}, got {value!r}",
            hint=suggest(value, choices) or f"Choose one of: {', '.join(choices)}",
        )
