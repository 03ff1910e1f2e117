"""The report that `benchmarks/gpu.py` prints."""

from __future__ import annotations

from support.gpu import bare, profiling, pytorch, served
from support.gpu.results import Results, pivot, table

__all__ = ["render"]

_LONGEST = 34
LOAD = {"precision": "precision", "instances": "inst.", "images": "images", "at_once": "at once", "processes": "proc."}
SERVED = {
    **LOAD,
    "transport": "transport",
    "images_per_second": "images/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "of_bare": "of bare",
}
STAGES = {
    **LOAD,
    "transport": "transport",
    "images_in_a_batch": "batch",
    "queue_ms": "queue",
    "compute_input_ms": "input",
    "compute_infer_ms": "infer",
    "compute_output_ms": "output",
}
STEPS = {
    "precision": "precision",
    "options": "options",
    "batch": "batch",
    "requests": "requests",
    "join_and_copy_in_ms": "join and copy in",
    "run_ms": "run",
    "copy_out_ms": "copy out",
    "split_ms": "split",
}
OPERATORS = {
    "precision": "precision",
    "options": "options",
    "batch": "batch",
    "provider": "provider",
    "operator": "operator",
    "calls": "calls",
    "ms": "ms",
    "share": "share",
}


def render(results: Results) -> str:
    """Return the host, a table for each part that has rows, and what was omitted."""
    host = results.host
    packages = ", ".join(f"{name} {found}" for name, found in host["packages"].items())
    sections = [f"GPU: {host['gpu']}\nCores: {host['cores']}\nPython {host['python']}, {packages}"]
    for title, part, names, columns in (
        ("ONNX Runtime, images per second by batch size", bare.PART, ["precision", "maps", "options", "tensors"], None),
        ("PyTorch, images per second by batch size", pytorch.PART, ["precision", "mode"], None),
        ("Triton", served.PART, [], SERVED),
        ("Triton, milliseconds of a request", served.PART, [], STAGES),
        ("Steps of the backend, milliseconds of a batch", profiling.STEPS, [], STEPS),
        ("Operators of ONNX Runtime, per batch", profiling.OPERATORS, [], OPERATORS),
    ):
        rows = results.of(part)
        if rows and columns is None:
            sections.append(f"{title}\n\n{table(*pivot(rows, names, 'batch', 'images_per_second'))}")
        elif rows and columns is not None:
            cells = [[_cell(row[name]) for name in columns] for row in rows]
            sections.append(f"{title}\n\n{table(list(columns.values()), cells)}")
    return "\n\n".join([*sections, results.omissions()])


def _cell(value: object) -> object:
    """Return a value of a row, the names of kernels shortened."""
    return f"{value[:_LONGEST]}…" if isinstance(value, str) and len(value) > _LONGEST else value
