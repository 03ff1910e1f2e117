"""The options of `score`, by the headings of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from camserve.choices import ENGINES, OUTPUT_FORMATS
from camserve.cli.shared_options import one_of

__all__ = [
    "AllProbabilities",
    "Bundle",
    "BytesColumn",
    "Concurrency",
    "Engine",
    "FilesFrom",
    "Format",
    "IdColumn",
    "Inputs",
    "Maps",
    "Model",
    "Output",
    "Overlays",
    "PathColumn",
    "Patience",
    "RayAddress",
    "Resume",
    "SpreadsheetSafe",
    "Top",
    "Workers",
]

_INPUTS, _TABLE, _RUN = "Inputs", "Table", "Run"


def _option(panel: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Image files; folders to search for images; patterns such as 'photos/*.jpg'; .tar archives such as shards "
        "of a WebDataset; .csv and .parquet tables with paths or the bytes of images; URLs of all these, such as "
        "s3://bucket/photos/.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", show_default=False, help="Name of the model on the server."),
]
Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        metavar="DIR",
        show_default=False,
        help="Bundle that answers on this CPU without a server, through ONNX Runtime or, for bf16, OpenVINO.",
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        metavar="FILE|DIR/",
        help="Table to write: a .csv, .jsonl or .parquet file, or a folder of Parquet files if it ends in a slash. An "
        "existing one is replaced when the new one is complete, which keeps its owner and permissions.",
    ),
]
FilesFrom = Annotated[
    str | None,
    _option(
        _INPUTS,
        "--files-from",
        metavar="FILE",
        show_default=False,
        help="List of further images: one path or URL a line, or separated by NUL as find -print0 writes them; - for "
        "standard input.",
    ),
]
PathColumn = Annotated[
    str | None,
    _option(
        _INPUTS,
        "--path-column",
        metavar="NAME",
        show_default=False,
        help="Column of input tables that contains the paths or URLs.  [default: found if only one can be it]",
    ),
]
BytesColumn = Annotated[
    str | None,
    _option(
        _INPUTS,
        "--bytes-column",
        metavar="NAME",
        show_default=False,
        help="Column of .parquet input tables that contains the bytes of image files.",
    ),
]
IdColumn = Annotated[
    str | None,
    _option(
        _INPUTS,
        "--id-column",
        metavar="NAME",
        show_default=False,
        help="Column of input tables for the column id of the output.  [default: the numbers of the rows]",
    ),
]
Format = Annotated[
    str,
    _option(
        _TABLE,
        "--format",
        metavar="|".join(OUTPUT_FORMATS),
        autocompletion=one_of(OUTPUT_FORMATS),
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
Maps = Annotated[
    bool,
    _option(
        _TABLE,
        "--maps",
        help="Append the class activation map of the best class: position of its maximum, region and values.",
    ),
]
Overlays = Annotated[
    Path | None,
    _option(
        _TABLE,
        "--overlays",
        metavar="DIR",
        show_default=False,
        help="Write the map of each image over it, as a PNG file in this folder that keeps the folders of the images.",
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
Patience = Annotated[
    float,
    _option(
        _RUN,
        "--patience",
        min=0,
        metavar="SECONDS",
        help="How long to wait for a server that has replied before, such as one that restarts. 0: fail at once.",
    ),
]
Workers = Annotated[
    int | None,
    _option(
        _RUN,
        "--workers",
        min=0,
        metavar="N",
        show_default=False,
        help="Number of processes that read, decode and send images. 0: none but this one.  [default: what the cores "
        "and the number of images allow]",
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
        help="Number of concurrent requests of all processes; each has many images.  [default: what the workers need]",
    ),
]
Engine = Annotated[
    str,
    _option(
        _RUN,
        "--engine",
        metavar="|".join(ENGINES),
        autocompletion=one_of(ENGINES),
        help="ray: score on Ray Data, with the same rows.",
    ),
]
RayAddress = Annotated[
    str | None,
    _option(
        _RUN,
        "--ray-address",
        metavar="ADDRESS",
        show_default=False,
        help="Ray cluster to score on, such as auto or HOST:6379.  [default: Ray is started on this host for the run]",
    ),
]
