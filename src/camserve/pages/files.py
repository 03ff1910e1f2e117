"""Style sheets and scripts, which are files of this package and of those that use it."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["BASE_SCRIPT", "BASE_STYLE", "read_text"]


def read_text(package: str, name: str) -> str:
    """Return the text of a file that is installed with a package."""
    return files(package).joinpath(name).read_text("utf-8")


BASE_STYLE = read_text("camserve.pages", "base.css")
"""The style that all pages share."""

BASE_SCRIPT = read_text("camserve.pages", "elements.js")
"""The beginning of every script: strict mode, and the function that makes elements."""
