"""Checks of the arguments of `write_page`, without importing what it needs to write a page."""

from __future__ import annotations

from pathlib import Path

from camserve.argument_checks import check_type, check_whole
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["DEFAULT_IMAGES", "OTHER_PAGE", "check_page"]

DEFAULT_IMAGES = 500
OTHER_PAGE = "Pass the path of a page in a folder that you can write to: --html PAGE.html"
_ENDINGS = (".html", ".htm")


def check_page(path: str | Path, images: int, images_from: str | Path | None = None) -> Path:
    """Check the arguments of `write_page` and return the path of the page.

    Raises:
        UsageError: If one is invalid.
    """
    check_type("path", path, (str, Path), "a path")
    check_whole("images", images)
    if images < 0:
        raise UsageError(f"the number of images must be at least 0, got {images}", hint="Pass 0 for none")
    if images_from is not None and not Path(images_from).is_dir():
        raise UsageError(
            f"{printable(images_from)} is no folder", hint="Pass the folder where paths start: --images-from"
        )
    page = Path(path)
    if page.suffix.lower() not in _ENDINGS:
        raise UsageError(f"the extension of {printable(page)} must be .html", hint=OTHER_PAGE)
    if not page.parent.is_dir() or page.is_dir():
        wrong = page if page.is_dir() else page.parent
        raise UsageError(f"{printable(wrong)} is {'a' if page.is_dir() else 'no'} folder", hint=OTHER_PAGE)
    return page
