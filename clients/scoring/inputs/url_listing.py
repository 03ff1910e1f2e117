"""List the images under a URL: a file, a folder or prefix with what is below it, or a pattern."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from glob import has_magic
from typing import Any
from urllib.parse import unquote, urlsplit

from camserve.clients.scoring.inputs.filesystems import WEB, filesystem, translated
from camserve.clients.scoring.inputs.remote import UrlSource, read_start
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
from camserve.images.file_names import IMAGES, is_hidden_folder, kind_by_name
from camserve.images.left_out import LeftOut
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind
from camserve.text import printable

__all__ = ["expand_url", "is_folder", "items_of_prefix", "path_of"]


def path_of(url: str) -> str:
    """Return the path of a URL, of which the extension tells the kind of file."""
    return urlsplit(url).path if url.startswith(WEB) else url


def expand_url(url: str) -> list[str]:
    """Return the URLs that match a pattern, in the order of names, or the URL itself if it is not a pattern.

    Raises:
        UsageError: If nothing matches it.
    """
    if not any(char in url for char in ("*" if url.startswith(WEB) else "*?[")):  # ? starts the query of a web address
        return [url]
    files, path = _fresh(url)
    named = _named_by(path)
    found = translated(url, UsageError, lambda: sorted(filter(named, files.glob(path))))
    if not found:
        raise UsageError(
            f"no file matches {printable(url)}", hint="Check the pattern, or pass the folder to search it for images"
        )
    folders = {f"{each.rstrip('/')}/" for each in found}
    # What is in a folder that matches is found in the folder.
    outer = [each for each in found if not any(f"{end}/" in folders for end in _parents(each))]
    return [str(files.unstrip_protocol(each)) for each in outer]


def is_folder(url: str) -> bool:
    """Return whether a URL is that of a folder or prefix.

    Raises:
        UsageError: If it does not exist, or cannot be read.
    """
    if url.startswith(WEB):
        return path_of(url).endswith("/")
    files, path = _fresh(url)
    return bool(translated(url, UsageError, lambda: files.info(path))["type"] == "directory")


def items_of_prefix(url: str, left_out: LeftOut) -> Iterator[Item]:
    """Yield the images of a folder or prefix and what is below it, in the order of names.

    As in folders of this host, but of files without the extension of an image only those without any are read, and
    their first bytes decide.

    Args:
        url: The folder.
        left_out: Counts what is left out.

    Raises:
        CamserveError: If it cannot be listed.
    """
    files, path = _fresh(url)
    without = yield from _Search(files, url, left_out).items(path, "")
    if without is None:
        return
    if url.startswith(WEB):
        raise UsageError(
            f"{printable(url)} lists no images; many web servers list no folders",
            hint="Pass the URLs of the images, or a list of them: --files-from FILE",
        )
    left_out.add(without, url)


class _Search:
    """One search below a URL."""

    def __init__(self, files: Any, url: str, left_out: LeftOut) -> None:
        self._files = files
        self._url = url
        self._is_web = url.startswith(WEB)
        self._left_out = left_out

    def items(self, folder: str, within: str) -> Generator[Item, None, str | None]:
        """Search a folder, and return why there are no images: a kind of `LeftOut`; None if there are.

        Args:
            folder: The folder.
            within: Its path below the URL, with a slash at its end.
        """
        entries = self._entries(folder)
        found, without = False, []
        for path, name, is_a_folder in entries:
            url = str(self._files.unstrip_protocol(path))
            kind = "hidden_folders" if is_a_folder and is_hidden_folder(name) else None
            if is_a_folder and kind is None:
                reason = yield from self.items(path, f"{within}{name}/")
                found |= reason is None
                without += [] if reason is None else [(reason, url)]
                continue
            kind = kind or self._kind(path, name)
            if kind == IMAGES:
                found = True
                yield Item(url, f"{within}{name}", UrlSource(url))
            else:
                self._left_out.add(kind, url)
        if not found:  # named by the folder above, of which these are a part
            return "folders_without_images" if entries else "empty_folders"
        for reason, url in without:
            self._left_out.add(reason, url)
        return None

    def _entries(self, folder: str) -> list[tuple[str, str, bool]]:
        """Return path, name and whether it is a folder of what is in a folder, in the order of names."""
        listed = translated(self._url, UsageError, lambda: self._files.ls(folder, detail=True))
        self._files.invalidate_cache(folder)  # it would keep all of them in memory
        found = []
        for entry in listed:
            path = str(entry["name"])
            # Stores have empty objects as marks of folders; web servers have links that sort their list.
            if path.rstrip("/") == folder.rstrip("/") or (self._is_web and "?" in path):
                continue
            last = path.rstrip("/").rpartition("/")[2]
            found.append((path, unquote(last) if self._is_web else last, entry["type"] == "directory"))
        return sorted(found)

    def _kind(self, path: str, name: str) -> str:
        """Return `IMAGES`, or as which kind of `LeftOut` the file is left out."""
        kind = kind_by_name(name)
        if kind is not None:
            return kind
        if "." in name:
            return "not_images"
        start = translated(self._url, UsageError, lambda: read_start(self._files, path, SIGNATURE_LENGTH))
        return "not_images" if image_kind(start) is None else IMAGES


def _fresh(url: str) -> tuple[Any, str]:
    """Return file system and path of a URL; what the file system has listed before may have changed."""
    files, path = filesystem(url)
    files.invalidate_cache()
    return files, path


def _named_by(pattern: str) -> Callable[[str], bool]:
    """Return whether a pattern names a path: hidden names only if a part of the pattern starts with a dot."""
    parts = pattern.split("/")
    first = next(place for place, part in enumerate(parts) if has_magic(part))
    with_hidden = any(part.startswith(".") for part in parts[first:])
    return lambda path: with_hidden or not any(part.startswith(".") for part in path.split("/")[first:])


def _parents(path: str) -> Iterator[str]:
    path = path.rstrip("/")
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
