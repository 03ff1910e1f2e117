"""The page that `camserve evaluate --html` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from camserve.cli.progress_view import track
from camserve.errors import UsageError

if TYPE_CHECKING:
    from camserve.clients import Evaluation, PageSummary

__all__ = ["PageOptions"]


@dataclass(frozen=True)
class PageOptions:
    """The options of the page; see `write_page`.

    Attributes:
        html: The page; None for none.
        images: The most rows; None for the default.
        images_from: The folder where relative paths start; None for the current one.
        exif: Whether images are rotated as their EXIF orientation requires.
        max_pixels: The most pixels of an image.
        max_bytes: The most bytes of a file.
    """

    html: Path | None
    images: int | None
    images_from: Path | None
    exif: bool
    max_pixels: int
    max_bytes: int

    def check(self, against: Path | None, *, scored: bool) -> None:
        """Check the options before the table is read.

        Args:
            against: The other table of a comparison.
            scored: Whether the images are scored first, for which the options of reading images have an effect, too.

        Raises:
            UsageError: If one is invalid, or has no effect.
        """
        if self.html is None:
            for option, given in (
                ("--html-images", self.images is not None),
                ("--images-from", self.images_from is not None),
                ("--exif", self.exif and not scored),
            ):
                if given:
                    raise UsageError(f"{option} has no effect without a page", hint="Add --html PAGE.html")
            return
        if against is not None:
            raise UsageError(
                "--html and --against exclude each other",
                hint="Write a page for each table: camserve evaluate TABLE --html PAGE.html",
            )
        from camserve.clients.evaluation.page.checks import check_page

        check_page(self.html, self._most, self.images_from)

    def write(self, evaluation: Evaluation) -> PageSummary | None:
        """Write the page, if there is one, and show the progress of its images."""
        if self.html is None:
            return None
        from camserve.clients import DecodeOptions, write_page

        return write_page(
            evaluation,
            self.html,
            images=self._most,
            images_from=self.images_from,
            decode_options=DecodeOptions(exif=self.exif, max_pixels=self.max_pixels, max_bytes=self.max_bytes),
            progress=lambda images: track(images, min(self._most, evaluation.rows)),
        )

    @property
    def _most(self) -> int:
        from camserve.clients.evaluation.page.checks import DEFAULT_IMAGES

        return DEFAULT_IMAGES if self.images is None else self.images
