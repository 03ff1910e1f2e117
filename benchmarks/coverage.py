"""Every classifier of `keras.applications` at its default size, through the gate: the table `docs/coverage.md`.

Usage: python benchmarks/coverage.py [--out docs/coverage.md] [--limit-gb 20] [NAME ...]

Weights are random, with BatchNorm statistics and logits as the tests make them. Each classifier is measured in a
process of its own, one after the other, whose resident memory is the peak; one that needs more than the limit is
stopped, and its row says so. Each row is written as soon as it is known. Names given are measured anew and take their
place among the rows that stand already; without names, the classifiers that have no row yet are measured, so a run that
was broken off is taken up where it ended (remove the file to measure all).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camserve.atomic import replace_file

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

COLUMNS = (
    "name",
    "parameters",
    "map, or the layer that stops it",
    "BatchNorm folded / kept",
    "logits",
    "probabilities",
    "cam",
    "cam identity",
    "ONNX nodes",
    "seconds",
    "peak GB",
)
FIGURES = ("logits", "probabilities", "cam", "cam_identity")

HEAD = """# Coverage

Every classifier of `keras.applications`, at its default size, exported as ONNX and SavedModel and held to Keras by the
gate. Weights are random, made to tell images apart as trained ones do (BatchNorm statistics measured on images,
logits well apart). The figures are the worst of both formats and of batches 1, 3 and 8; the bounds are 1e-4 (relative)
for logits, maps and their identity, and 1e-5 (absolute) for probabilities. Where a layer stops the map, it is the last
one before the logits that is not linear, and the other columns are those of `--no-cam`. Seconds and peak memory are
those of the whole process, which also makes the weights; two cores.

"""
FOOT = "\nRegenerate it: `rm docs/coverage.md; python benchmarks/coverage.py`.\n"


def measure(name: str) -> dict[str, str]:
    """Exports one classifier in this process, and gives its row but for time and memory."""
    import keras  # noqa: PLC0415  the parent process needs none of these
    from support.networks import enliven  # noqa: PLC0415

    from camserve.errors import HeadError  # noqa: PLC0415
    from camserve.export.source.applications import application  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    recipe = application(name)
    model = enliven(recipe.build(), recipe.preprocessing)
    row = {"name": name, "parameters": f"{model.count_params():,}"}
    try:
        report = export(model, recipe.preprocessing, cam=True)
        row[COLUMNS[2]] = "{}×{}".format(*report["contract"]["cam"]["grid"])
    except HeadError as error:
        layer = error.message.rsplit(": ", 1)[1].removesuffix(" is between the last spatial features and the logits")
        row[COLUMNS[2]] = layer.replace("'", "`")
        report = export(model, recipe.preprocessing, cam=False)
    folding, figures = report["folding"], report["parity"]
    row[COLUMNS[3]] = f"{len(folding['folded'])} / {len(folding['kept'])}"
    for column, figure in zip(COLUMNS[4:8], FIGURES, strict=True):
        values = [measured["value"] for measured in figures if measured["figure"] == figure]
        row[column] = f"{max(values):.1e}" if values else "–"
    row[COLUMNS[8]] = f"{sum(report['graph']['operators'].values()):,}"
    return row


def export(model: Any, preprocessing: Any, *, cam: bool) -> dict[str, Any]:
    """The report of an export in both formats."""
    from camserve.export import export_model  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        return dict(export_model(model, Path(folder) / "bundle", preprocessing=preprocessing, cam=cam).report)


def measure_apart(name: str, limit: float) -> dict[str, str]:
    """The row of a classifier, measured in a process of its own; a failure is told in the row."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, __file__, "--measure", name], stdout=out, stderr=log)
        status, peak = wait(process.pid, limit)
        seconds = time.perf_counter() - began
        process.returncode = status  # it has been waited for
        out.seek(0)
        log.seek(0)
        answer, told = out.read().splitlines(), log.read().strip().splitlines()
    if status == 0 and answer:
        row = json.loads(answer[-1])
    elif peak > limit:
        row = {"name": name, COLUMNS[2]: f"stopped: it needs more than {limit:g} GB"}
    else:
        row = {"name": name, COLUMNS[2]: f"failed: {first_line(told, status)}"}
    return {**row, COLUMNS[9]: f"{seconds:.0f}", COLUMNS[10]: f"{peak:.1f}"}


def wait(pid: int, limit: float) -> tuple[int, float]:
    """Waits for the process's end, and ends it should it need more memory: its exit status, and its peak in GB."""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1e6
        if resident(pid) > limit:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def resident(pid: int) -> float:
    """Resident memory of a process, in GB; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def first_line(told: list[str], status: int) -> str:
    """What the process said last of the exception that ended it, on one line of a table."""
    errors = [line for line in told if "Error" in line.split(":")[0]]
    text = (errors or told or [f"exit status {status}"])[-1 if errors else 0]
    return text.replace("|", "/")[:200]


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """The rows that stand in the table already, by name."""
    if not path.is_file():
        return {}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    rows = [dict(zip(COLUMNS, map(str.strip, line.strip("|").split("|")), strict=True)) for line in lines]
    return {row["name"]: row for row in rows}


def write_rows(path: Path, rows: Mapping[str, Mapping[str, str]], known: Sequence[str]) -> None:
    """Writes the table, aside first, so that it is whole at any time, and names the classifiers that it lacks."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(rows[name].get(column, '–') for column in COLUMNS)} |" for name in sorted(rows)]
    missing = [name for name in known if name not in rows]
    lines += ["", f"Not measured yet: {', '.join(missing)}."] if missing else []
    with replace_file(path) as temporary:
        temporary.write_text(HEAD + "\n".join(lines) + "\n" + FOOT, encoding="utf-8")


def main() -> None:
    """Measures each classifier that is named, or has no row yet, and prints a line for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "coverage.md")
    parser.add_argument("--limit-gb", type=float, default=20.0, help="memory at which a classifier is stopped")
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return
    from camserve.export import application_names  # noqa: PLC0415  loads TensorFlow

    known = application_names()
    for name in names_to_measure(asked.names, read_rows(asked.out), known):
        row = measure_apart(name, asked.limit_gb)
        write_rows(asked.out, {**read_rows(asked.out), name: row}, known)
        print(" | ".join(row.get(column, "–") for column in COLUMNS), flush=True)


def names_to_measure(asked: list[str], rows: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """The classifiers asked for by name, in any case; all without a row, if none is."""
    exact = {name.lower(): name for name in known}
    unknown = [name for name in asked if name.lower() not in exact]
    if unknown:
        raise SystemExit(f"Keras has no classifier {', '.join(unknown)}; it has {', '.join(known)}")
    return [exact[name.lower()] for name in asked] or [name for name in known if name not in rows]


if __name__ == "__main__":
    main()
