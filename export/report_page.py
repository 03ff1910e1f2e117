"""The report as one self-contained page: no script, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #16803c; --bad: #c02626; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.lead { margin-top: .25rem; opacity: .75; overflow-wrap: anywhere; }
.verdict { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; color: white; background: var(--good); }
.verdict.missed { background: var(--bad); }
.warning { border-left: 4px solid #d97706; padding: .25rem .75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: 20rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.missed { color: var(--bad); font-weight: 600; }
details { margin: .25rem 0; } summary { cursor: pointer; }
"""


def page(report: dict[str, Any]) -> str:
    """The whole page, from the value that `report.json` holds."""
    passed = all(figure["passed"] for figure in report["parity"])
    verdict = (
        f'<span class="verdict{"" if passed else " missed"}">{"parity proven" if passed else "parity missed"}</span>'
    )
    source = report["source"]
    sections = [
        f"<h1>{escape(report['name'])} {verdict}</h1>",
        f'<p class="lead">{escape(source["origin"])} · {source["parameters"]:,} parameters · {source["dtype"]} '
        f"· exported as {report['precision']}</p>",
        *(f'<p class="warning">{escape(warning)}.</p>' for warning in report["warnings"]),
        "<h2>Parity with Keras</h2>",
        *_parity(report["parity"]),
        "<h2>Contract</h2>",
        _table(("tensor", "type", "shape"), _tensor_rows(report["contract"])),
        f"<p>{escape(_pixels(report['contract']))}</p>",
        "<h2>Folding</h2>",
        _folding(report["folding"]),
        *_graph(report["graph"]),
        "<h2>Files</h2>",
        _table(("file", "size"), ((name, _number(f"{size:,} bytes")) for name, size in report["sizes"].items())),
        "<h2>Made with</h2>",
        _table(("package", "version"), report["packages"].items()),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report['name'])}: export report</title><style>{_STYLE}</style></head>\n"
        f"<body>{''.join(sections)}</body></html>\n"
    )


class _Cell(str):
    """A table cell that is markup already."""


def _number(text: str, extra: str = "") -> _Cell:
    return _Cell(f'<td class="number{extra}">{escape(text)}</td>')


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{titles}</tr>{body}</table></div>'


def _cell(text: str) -> str:
    return text if isinstance(text, _Cell) else f"<td>{escape(text)}</td>"


_MEANINGS = {
    "reading": "largest difference between the model and the network that was read from it",
    "logits": "largest difference, relative to the largest logit",
    "probabilities": "largest difference",
    "top1": "images with another best class",
    "cam": "largest difference of a map, relative to the largest value",
    "cam_class": "maps of another class than Keras ranks there",
    "cam_identity": "largest difference between a logit and the sum of its map, relative",
}


def _parity(figures: Sequence[dict[str, Any]]) -> list[str]:
    """A row for each format and figure, a column for each batch."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for figure in figures:
        if figure["batch"]:
            rows.setdefault((figure["format"], figure["figure"]), []).append(figure)
    batches = sorted({figure["batch"] for row in rows.values() for figure in row})
    left = next(figure for figure in figures if figure["figure"] == "unfolded")
    return [
        _table(
            ("format", "figure", *(f"batch {batch}" for batch in batches), "bound", "what it is"),
            (_parity_row(format_name, name, row, batches) for (format_name, name), row in rows.items()),
        ),
        f"<p>BatchNorm layers left that could be folded: {left['value']:g}.</p>",
    ]


def _parity_row(format_name: str, name: str, row: Sequence[dict[str, Any]], batches: Iterable[int]) -> tuple[str, ...]:
    by_batch = {figure["batch"]: figure for figure in row}
    bound = row[0]["bound"]
    measured = (_measured(by_batch.get(batch)) for batch in batches)
    return (format_name, name, *measured, _number(f"{bound:.0e}" if bound else "0"), _MEANINGS[name])


def _measured(figure: dict[str, Any] | None) -> _Cell:
    if figure is None:
        return _number("–")
    return _number(f"{figure['value']:.1e}" if figure["value"] else "0", "" if figure["passed"] else " missed")


def _tensor_rows(contract: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    for tensor in (contract["input"], *contract["outputs"]):
        yield tensor["name"], tensor["dtype"], f"[batch, {', '.join(map(str, tensor['shape']))}]"


def _pixels(contract: dict[str, Any]) -> str:
    pixels = contract["preprocessing"]
    return (
        f"Pixels: {pixels['color']}, {pixels['fit']}, {pixels['resize']}; "
        f"(pixel / {pixels['scale']} - {pixels['mean']}) / {pixels['std']}."
    )


def _folding(folding: dict[str, Any]) -> str:
    folded, kept = folding["folded"], folding["kept"]
    parts = [f"<p>{len(folded)} BatchNorm layers folded, {len(kept)} kept.</p>"]
    if kept:
        rows = ((entry["batchnorm"], entry["because"]) for entry in kept)
        parts.append(_table(("kept", "because"), rows))
    if folded:
        rows = ((entry["batchnorm"], entry["into"]) for entry in folded)
        parts.append(f"<details><summary>Which</summary>{_table(('BatchNorm', 'folded into'), rows)}</details>")
    return "".join(parts)


def _graph(graph: dict[str, Any] | None) -> list[str]:
    if graph is None:
        return []
    rows = ((name, _number(str(count))) for name, count in graph["operators"].items())
    return [f"<h2>ONNX graph, opset {graph['opset']}</h2>", _table(("operator", "nodes"), rows)]
