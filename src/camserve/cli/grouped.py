"""A command whose help shows its options under headings, and what else it has to tell below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camserve.cli.options import Command

__all__ = ["GroupedCommand"]


class GroupedCommand(Command):
    """A command that shows its options under the headings that they name by `rich_help_panel`.

    Typer heeds that setting only where it prints with Rich.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes arguments and options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                heading = "Arguments" if param.param_type_name == "argument" else _heading(param)
                sections.setdefault(heading, []).append(record)
        sections.update((heading, list(rows)) for heading, rows in self.more_help())
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def more_help(self) -> Sequence[tuple[str, Sequence[tuple[str, str]]]]:
        """Further headings, and words under each with what they mean."""
        return ()


def _heading(param: Any) -> str:
    return getattr(param, "rich_help_panel", None) or "Options"
