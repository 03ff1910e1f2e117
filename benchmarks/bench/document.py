"""Write what was measured: Markdown and JSON in the folder of results, and the tables of `docs/benchmarks.md`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.parts import Measured
from bench.tables import markdown
from camserve.text import count

__all__ = ["block", "check_page", "describe", "update_page", "write_results"]


def describe(host: dict[str, Any]) -> str:
    """Return date, machine and versions in a line."""
    machine = f"{host['cores']} cores of {host['processor']} ({', '.join(host['instructions'])})"
    packages = ", ".join(f"{name} {version}" for name, version in host["packages"].items())
    return f"{host['date']}, {machine}, Python {host['python']}, {packages}"


def block(measured: Measured, host: dict[str, Any], *, quick: bool) -> str:
    """Return the tables of a part, after the command that measures them again."""
    command = f"`python benchmarks/bench --only {measured.part}{' --quick' if quick else ''}`"
    text = f"{command}, {host['date']}, {count(max(1, round(measured.seconds / 60)), 'minute')}."
    return "\n\n".join([text, *map(markdown, measured.tables)])


def write_results(results: Sequence[Measured], host: dict[str, Any], folder: Path, *, quick: bool) -> None:
    """Write `bench.md` and `bench.json`."""
    sections = [f"## {each.part}\n\n{block(each, host, quick=quick)}" for each in results]
    text = "\n\n".join(["# Benchmark", describe(host), *sections])
    (folder / "bench.md").write_text(text + "\n", encoding="utf-8")
    document = {"host": host, "quick": quick, "parts": [asdict(each) for each in results]}
    (folder / "bench.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def check_page(page: Path, parts: Sequence[str]) -> None:
    """Check that a page has a place for each part, before anything is measured.

    Raises:
        ValueError: If it lacks a marker.
    """
    for part in ("host", *parts):
        replace_part(page.read_text(encoding="utf-8"), part, "")


def update_page(page: Path, results: Sequence[Measured], host: dict[str, Any], folder: Path, *, quick: bool) -> None:
    """Replace what is between the markers of the measured parts in a page, and copy their plots beside it.

    A part is between `<!-- bench: NAME -->` and `<!-- end of bench: NAME -->`, date and machine are in the part `host`.

    Raises:
        ValueError: If the page lacks a marker.
    """
    text = replace_part(page.read_text(encoding="utf-8"), "host", describe(host) + ".")
    for measured in results:
        text = replace_part(text, measured.part, block(measured, host, quick=quick))
        for plot in (table.plot for table in measured.tables):
            if plot:
                shutil.copyfile(folder / plot, page.parent / plot)
    page.write_text(text, encoding="utf-8")


def replace_part(text: str, name: str, content: str) -> str:
    """Return a page with other content between the markers of a part."""
    begin, end = f"<!-- bench: {name} -->", f"<!-- end of bench: {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    replaced, places = pattern.subn(lambda _: f"{begin}\n{content}\n{end}", text)
    if places != 1:
        raise ValueError(f"the page must contain the markers {begin} and {end} once, found {places}")
    return replaced
