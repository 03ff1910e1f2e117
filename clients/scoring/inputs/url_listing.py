"""List the images under a URL: a file, a folder or prefix with what is below it, or a pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from camserve.clients.scoring.inputs.remote import UrlSource, filesystem, read_start, translated
from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
from camserve.images.file_names import IMAGES, is_hidden_folder, kind_by_name
from camserve.images.left_out import LeftOut
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind
from camserve.text import printable

__all__ = ["expand_url", "is_folder", "items_of_prefix", "path_of"]

_WEB = ("http://", "https://")


def path_of(url: str) -> str:
    """Return the path of a URL, of which the extension tells the kind of file."""
    return urlsplit(url).path if url.startswith(_WEB) else url


def expand_url(url: str) -> list[str]:
    """Return the URLs that match a pattern, in the order of names, or the URL itself if it is none.

    Raises:
        UsageError: If nothing matches it.
    """
    if not any(char in url for char in ("*" if url.startswith(_WEB) else "*?[")):  # ? starts the query of a web address
        return [url]
    files, path = filesystem(url)
    found = translated(url, UsageError, lambda: sorted(files.glob(path)))
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
    if url.startswith(_WEB):
        return path_of(url).endswith("/")
    files, path = filesystem(url)
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
    files, path = filesystem(url)
    found = False
    for item in _Search(files, url, left_out).items(path, ""):
        found = True
        yield item
    if found:
        return
    if url.startswith(_WEB):
        raise UsageError(
            f"{printable(url)} lists no images; many web servers list no folders",
            hint="Pass the URLs of the images, or a list of them: --files-from FILE",
        )
    left_out.add("folders_without_images", url)


class _Search:
    """One search below a URL."""

    def __init__(self, files: Any, url: str, left_out: LeftOut) -> None:
        self._files = files
        self._url = url
        self._is_web = url.startswith(_WEB)
        self._left_out = left_out

    def items(self, folder: str, within: str) -> Iterator[Item]:
        """Search a folder; `within` is its path below the URL, with a slash at its end."""
        for path, name, is_a_folder in self._entries(folder):
            url = str(self._files.unstrip_protocol(path))
            if is_a_folder:
                if is_hidden_folder(name):
                    self._left_out.add("hidden_folders", url)
                else:
                    yield from self.items(path, f"{within}{name}/")
                continue
            kind = self._kind(path, name)
            if kind == IMAGES:
                yield Item(url, f"{within}{name}", UrlSource(url))
            else:
                self._left_out.add(kind, url)

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


def _parents(path: str) -> Iterator[str]:
    path = path.rstrip("/")
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
