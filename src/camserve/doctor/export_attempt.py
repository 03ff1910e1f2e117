"""Import the export tools and find the GPUs that TensorFlow can use. Runs in its own process."""

from __future__ import annotations

import json
import sys

__all__ = ["main"]


def main() -> None:
    """Print the result as JSON."""
    from camserve.errors import ExportError  # noqa: PLC0415

    try:
        from camserve.export.frameworks import tf  # noqa: PLC0415
    except ExportError as error:
        report = {"reason": error.message, "remedy": error.hint, "gpus": 0}
    else:
        report = {"reason": None, "remedy": None, "gpus": len(tf.config.list_physical_devices("GPU"))}
    sys.stdout.write(f"\n{json.dumps(report)}\n")
