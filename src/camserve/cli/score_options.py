"""The options of `score`, by the headings of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from camserve.cli.shared_options import one_of

__all__ = [
    "FORMATS",
    "AllProbabilities",
    "Concurrency",
    "Format",
    "Inputs",
    "Output",
    "Resume",
    "SpreadsheetSafe",
    "Top",
]

FORMATS = ("table", "camera")

_TABLE, _RUN = "Table", "Run"


def _option(panel: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        help="Image files, folders to search for images, and patterns such as 'photos/*.jpg'.",
        show_default=False,
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Table to write: a .csv or .parquet file. An existing one is replaced when the new one is complete, which "
        "keeps its owner and permissions.",
    ),
]
Format = Annotated[
    str,
    _option(
        _TABLE,
        "--format",
        metavar="|".join(FORMATS),
        autocompletion=one_of(FORMATS),
        help="camera: write the submission of the camera identification competition, a .csv file with the columns "
        "fname and camera: the name of each file, and its best class.",
    ),
]
Top = Annotated[
    int | None,
    _option(
        _TABLE, "--top", min=1, metavar="N", show_default=False, help="Number of classes in each row.  [default: 5]"
    ),
]
AllProbabilities = Annotated[
    bool,
    _option(
        _TABLE,
        "--all-probabilities",
        help="Append a column for each class with its probability, in class order: probability_of_ and the label.",
    ),
]
SpreadsheetSafe = Annotated[
    bool,
    _option(
        _TABLE,
        "--spreadsheet-safe",
        help="Write an apostrophe before paths, labels and errors in a .csv file that a spreadsheet would run as a "
        "formula (they start with =, +, - or @). Without it texts are exact, for programs.",
    ),
]
Resume = Annotated[
    bool | None,
    _option(
        _RUN,
        "--resume/--no-resume",
        show_default=False,
        help="Go on with a run that was interrupted, or score all images again. Finished rows are recorded beside the "
        "table, in a file with .unfinished after its name, until the table is complete. The options must be the same, "
        "and images that changed are scored again.  [default: refuse to choose if there is one]",
    ),
]
Concurrency = Annotated[
    int | None,
    _option(
        _RUN,
        "--concurrency",
        min=1,
        metavar="N",
        show_default=False,
        help="Number of concurrent requests.  [default: 8]",
    ),
]
