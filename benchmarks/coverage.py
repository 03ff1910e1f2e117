"""Export every classifier of `keras.applications` through the parity gate, and write the table `docs/coverage.md`.

Usage: python benchmarks/coverage.py [--out docs/coverage.md] [--limit-gb 20] [NAME ...]

Weights are random, with BatchNorm statistics and logits as in the tests. Each classifier is measured in a separate
process, one after the other. The peak is the resident memory of that process; a process that exceeds the limit is
stopped. Each row is written as soon as it is measured. With names, these classifiers are measured and replace their
rows; without names, the classifiers without a row are measured, so that an interrupted run continues where it stopped
(remove the file to measure all).
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
    "map, or the layer that prevents it",
    "BatchNorm folded / kept",
    "logits",
    "probabilities",
    "cam",
    "cam identity",
    "ONNX nodes",
    "seconds",
    "peak GB",
)
METRICS = ("logits", "probabilities", "cam", "cam_identity")

HEAD = """# Coverage

Every classifier of `keras.applications` at its default size, exported as ONNX and SavedModel and compared with Keras by
the parity gate, in float64. Weights are random, with BatchNorm statistics measured on images and logits that differ
between images, like those of trained networks. The values are the worst of both formats and of batches 1, 3 and 8; the
tolerances are 1e-4 (relative) for logits, maps and their identity, and 1e-5 (absolute) for probabilities. A layer that
prevents the map is the last one before the logits that is not linear; the other columns of such a row are measured with
`--no-cam`. Maps of heads that are not linear ([gradient maps](maps.md)) have no identity where a bias precedes
an activation.
Seconds and peak memory include the import of TensorFlow and the creation of the weights, on two cores.

"""
FOOT = "\nRegenerate this page: `rm docs/coverage.md; python benchmarks/coverage.py`.\n"


def measure(name: str) -> dict[str, str]:
    """Export one classifier in this process, and return its row without time and memory."""
    import keras  # noqa: PLC0415  the parent process does not need these
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
    folding, metrics = report["folding"], report["parity"]
    row[COLUMNS[3]] = f"{len(folding['folded'])} / {len(folding['kept'])}"
    for column, metric_name in zip(COLUMNS[4:8], METRICS, strict=True):
        values = [metric["value"] for metric in metrics if metric["figure"] == metric_name]
        row[column] = f"{max(values):.1e}" if values else "–"
    row[COLUMNS[8]] = f"{sum(report['graph']['operators'].values()):,}"
    return row


def export(model: Any, preprocessing: Any, *, cam: bool) -> dict[str, Any]:
    """Export in both formats and return the report."""
    from camserve.export import export_model  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        bundle = export_model(model, Path(folder) / "bundle", preprocessing=preprocessing, resize="nearest", cam=cam)
        return dict(bundle.report)


def measure_in_subprocess(name: str, limit: float) -> dict[str, str]:
    """Return the row of a classifier, measured in a separate process; a failure is reported in the row."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, __file__, "--measure", name], stdout=out, stderr=log)
        status, peak = wait(process.pid, limit)
        seconds = time.perf_counter() - start
        process.returncode = status  # wait4 has already reaped it
        out.seek(0)
        log.seek(0)
        stdout, stderr = out.read().splitlines(), log.read().strip().splitlines()
    if status == 0 and stdout:
        row = json.loads(stdout[-1])
    elif peak > limit:
        row = {"name": name, COLUMNS[2]: f"stopped: more than {limit:g} GB"}
    else:
        row = {"name": name, COLUMNS[2]: f"failed: {first_line(stderr, status)}"}
    return {**row, COLUMNS[9]: f"{seconds:.0f}", COLUMNS[10]: f"{peak:.1f}"}


def wait(pid: int, limit: float) -> tuple[int, float]:
    """Wait for a process, kill it above the limit, and return its exit status and its peak memory in GB."""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1e6
        if resident(pid) > limit:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def resident(pid: int) -> float:
    """Return the resident memory of a process in GB; 0 after it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def first_line(stderr: list[str], status: int) -> str:
    """Return the exception that ended the process as one line for a table."""
    errors = [line for line in stderr if "Error" in line.split(":")[0]]
    text = (errors or stderr or [f"exit status {status}"])[-1 if errors else 0]
    return text.replace("|", "/")[:200]


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the existing table by name."""
    if not path.is_file():
        return {}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    rows = [dict(zip(COLUMNS, map(str.strip, line.strip("|").split("|")), strict=True)) for line in lines]
    return {row["name"]: row for row in rows}


def write_rows(path: Path, rows: Mapping[str, Mapping[str, str]], known: Sequence[str]) -> None:
    """Write the table atomically, with the names of the classifiers that it does not contain yet."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(rows[name].get(column, '–') for column in COLUMNS)} |" for name in sorted(rows)]
    missing = [name for name in known if name not in rows]
    lines += ["", f"Not measured yet: {', '.join(missing)}."] if missing else []
    with replace_file(path) as replacement:
        replacement.stream.write((HEAD + "\n".join(lines) + "\n" + FOOT).encode())


def main() -> None:
    """Measure the named classifiers, or those without a row, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "coverage.md")
    parser.add_argument("--limit-gb", type=float, default=20.0, help="memory limit of one classifier (default: 20)")
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    from camserve.export import application_names  # noqa: PLC0415  loads TensorFlow

    known = application_names()
    for name in names_to_measure(options.names, read_rows(options.out), known):
        row = measure_in_subprocess(name, options.limit_gb)
        write_rows(options.out, {**read_rows(options.out), name: row}, known)
        print(" | ".join(row.get(column, "–") for column in COLUMNS), flush=True)


def names_to_measure(requested: list[str], rows: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """Return the requested classifiers, named in any case, or else all without a row."""
    exact = {name.lower(): name for name in known}
    unknown = [name for name in requested if name.lower() not in exact]
    if unknown:
        raise SystemExit(f"keras.applications has no classifier {', '.join(unknown)}; choose from {', '.join(known)}")
    return [exact[name.lower()] for name in requested] or [name for name in known if name not in rows]


if __name__ == "__main__":
    main()
