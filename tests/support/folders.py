"""Content of folders, for comparisons before and after an operation."""

from __future__ import annotations

from pathlib import Path

__all__ = ["content", "tree"]


def tree(root: Path) -> set[str]:
    """Return the relative paths of all files and folders below a folder."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def content(root: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, by relative path."""
    return {name: (root / name).read_bytes() for name in tree(root) if (root / name).is_file()}
