"""The options of `evaluate`, but for those that it shares with `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from camserve.choices import MATCHES
from camserve.cli.shared_options import one_of

__all__ = [
    "Against",
    "First",
    "Html",
    "HtmlImages",
    "ImagesFrom",
    "Inputs",
    "Match",
    "Output",
    "Truth",
    "TruthColumn",
]


def _of_page(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, show_default=False, rich_help_panel="Page", **settings)


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE|INPUT",
        help="Table of camserve score: a .csv, .jsonl or .parquet file, or a folder of Parquet files. With --model or "
        "--bundle: images to score first, as for camserve score.",
        show_default=False,
    ),
]
Truth = Annotated[
    str,
    typer.Option(
        metavar="folder|FILE",
        help="True labels: the name of each image's folder, or a CSV file with the columns path and label. A path "
        "in it may be the end of one in the table: cat/1.jpg matches photos/cat/1.jpg.",
    ),
]
TruthColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of the table with the true labels.", show_default=False),
]
Match = Annotated[
    str,
    typer.Option(
        metavar="|".join(MATCHES),
        help="Whether true labels are labels, or numbers of classes.",
        autocompletion=one_of(MATCHES),
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        metavar="TABLE",
        help="Compare with this table of the same images: which answers changed, and a sign test.",
        show_default=False,
    ),
]
First = Annotated[int, typer.Option(min=0, metavar="N", help="Number of mistakes, or of changed answers, to list.")]
Html = Annotated[
    Path | None,
    _of_page(
        "--html",
        metavar="PAGE",
        help="Also write one page with the metrics and the images, which can be filtered by class, answer and "
        "probability. It needs no network.",
    ),
]
HtmlImages = Annotated[
    int | None,
    _of_page(
        "--html-images",
        min=0,
        metavar="N",
        help="The most rows that the page shows (default: 500). Of more, half are the worst mistakes, a tenth rows "
        "without an answer or true label, the others correct answers of each class.",
    ),
]
ImagesFrom = Annotated[
    Path | None,
    _of_page(
        "--images-from",
        metavar="DIR",
        help="Folder where relative paths of the table start (default: the current folder).",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Table that keeps the answers to the images, as camserve score writes it (default: none).",
        show_default=False,
    ),
]
