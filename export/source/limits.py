"""Limits of what is read from a model file, far above those of any network."""

from __future__ import annotations

from camserve.errors import SourceError

__all__ = ["check_config_size", "check_expansion", "suspicious_file_error"]

_MAX_CONFIG = 16 << 20  # bytes; that of a Keras network has 1 or 2 MB, and parsed JSON takes many times its size
_ALWAYS_ALLOWED = 256 << 20  # bytes
_MAX_EXPANSION = 20  # trained weights hardly compress; pruned weights do, but less than this


def check_config_size(size: int, name: str) -> None:
    """Refuse an architecture that is larger than that of any network.

    Args:
        size: Its size in bytes.
        name: The file's name, for messages.

    Raises:
        SourceError: If it is larger than 16 MiB.
    """
    if size > _MAX_CONFIG:
        raise suspicious_file_error(
            f"the model configuration in {name} has {size:,} bytes; the limit is {_MAX_CONFIG:,}"
        )


def check_expansion(unpacked: int, stored: int, name: str) -> None:
    """Refuse content that would expand disproportionately when it is read.

    Args:
        unpacked: Its size in memory, in bytes.
        stored: Its size on disk, in bytes.
        name: The file's name, for messages.

    Raises:
        SourceError: If it takes more than 256 MiB and more than 20 times its size on disk.
    """
    if unpacked > max(_ALWAYS_ALLOWED, _MAX_EXPANSION * stored):
        raise suspicious_file_error(f"{name} has {stored:,} bytes and would expand to {unpacked:,} when it is read")


def suspicious_file_error(message: str) -> SourceError:
    """Return the error for a file that Keras does not write and that may be an attack."""
    return SourceError(message, hint="Do not load it: Keras writes no such file. Ask its author for another file")
