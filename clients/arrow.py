"""Import pyarrow, which is optional."""

from __future__ import annotations

from typing import Any

from camserve.errors import UsageError
from camserve.extras import install_command

__all__ = ["import_pyarrow"]


def import_pyarrow(what: str = "a table of Arrow") -> tuple[Any, Any]:
    """Return the modules `pyarrow` and `pyarrow.parquet`.

    Args:
        what: What requires them, for the message.

    Raises:
        UsageError: If pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415  (optional)
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"{what} requires pyarrow, which cannot be imported: {error}",
            hint=f"Install it: {install_command('parquet')}, or use .csv files",
        ) from None
    return pyarrow, pyarrow.parquet
