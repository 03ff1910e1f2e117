"""Find the images in a tar archive, such as a shard of a WebDataset."""

from __future__ import annotations

import os
import shlex
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from camserve.clients.scoring.inputs.containers import Container
from camserve.clients.scoring.inputs.sources import UnreadableSource
from camserve.clients.scoring.items import Item
from camserve.errors import CamserveError, UsageError
from camserve.images.file_names import IMAGES, is_hidden_folder, kind_by_name
from camserve.images.left_out import LeftOut
from camserve.images.signatures import SIGNATURE_LENGTH, image_kind
from camserve.text import printable

__all__ = ["check_uncompressed", "items_of_tar"]

_COMPRESSIONS = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"(\xb5/\xfd": "unzstd"}
"""The first bytes of compressed files, and the program that decompresses them."""
_EXTENSIONS = {".gz": "gunzip", ".tgz": "gunzip", ".bz2": "bunzip2", ".tbz2": "bunzip2", ".xz": "unxz", ".txz": "unxz"}
_EXTENSIONS |= {".zst": "unzstd", ".tzst": "unzstd"}
_GET_AGAIN = "Get the archive again from its source"


def check_uncompressed(name: str) -> None:
    """Refuse a compressed archive by its name.

    Raises:
        UsageError: If it is one.
    """
    stem, extension = os.path.splitext(name.lower())  # noqa: PTH122
    if extension in _EXTENSIONS and (extension.startswith(".t") or stem.endswith(".tar")):
        raise _compressed(name, _EXTENSIONS[extension])


def items_of_tar(archive: Container, left_out: LeftOut) -> Iterator[Item]:
    """Yield the images of an archive: members with the extension or the content of one, in their order.

    The identifier of an image is its key in a WebDataset: its name up to the first dot after the last slash. If the
    archive is truncated or corrupt, its last item has the error.

    Args:
        archive: The archive, uncompressed.
        left_out: Counts the other members.

    Raises:
        UsageError: If it is not such an archive, or cannot be read.
    """
    found = False
    with archive.open() as stream:
        members = _Members(archive.name, stream)
        for member in members:
            parts = [part for part in member.name.split("/") if part not in {"", "."}]
            path = "/".join([archive.name, *parts])
            kind = _kind(member, parts, stream)
            if kind == IMAGES:
                found = True
                key = "/".join([*parts[:-1], parts[-1].split(".", 1)[0]])
                yield Item(path, key, archive.part(path, member.offset_data, member.size))
            elif kind is not None:
                left_out.add(kind, path)
    if members.damage is not None:
        yield Item(archive.name, archive.name, UnreadableSource(members.damage, _GET_AGAIN))
    elif not found:
        left_out.add("archives_without_images", archive.name)


def _kind(member: tarfile.TarInfo, parts: list[str], stream: BinaryIO) -> str | None:
    """Return `IMAGES`, the kind of `LeftOut` of a member, or None for a folder."""
    if member.isdir() or not parts:
        return None
    if member.issym() or member.islnk():
        return "archive_links"
    if any(is_hidden_folder(part) for part in parts[:-1] if part != ".."):
        return "hidden_files"
    if not member.isreg() or member.issparse():
        return "other_members"
    kind = kind_by_name(parts[-1])
    if kind is not None:
        return kind
    stream.seek(member.offset_data)
    start = stream.read(min(SIGNATURE_LENGTH, member.size))
    return "other_members" if image_kind(start) is None else IMAGES


class _Members:
    """The members of an archive, in flat memory.

    Attributes:
        damage: Why the archive is truncated or corrupt, after the last member; None if it is complete.
    """

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.damage: str | None = None
        self._name = printable(name)
        self._stream = stream
        self._archive = self._opened()

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        number = position = 0
        try:
            while (member := self._archive.next()) is not None:
                self._archive.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if self._archive.offset <= position:  # tarfile would return to a member before it
                    raise tarfile.ReadError("a member has a negative size")
                position = self._archive.offset
                number += 1
                yield member
        except (CamserveError, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  tarfile raises exceptions of many types for corrupt archives
            self.damage = f"{self._name} is truncated or corrupt after member {number:,}: {printable(str(error))}"
            return
        self._check_end(number)

    def _check_end(self, number: int) -> None:
        """Check that the archive has its mark of the end, as tarfile ends as well where a header is missing."""
        self._stream.seek(self._archive.offset)
        block = self._stream.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE:
            self.damage = f"{self._name} is truncated after member {number:,}: it has no mark of its end"
        elif any(block):
            self.damage = f"{self._name} is corrupt after member {number:,}: the header of the next one is invalid"
        elif any(any(rest) for rest in iter(lambda: self._stream.read(tarfile.RECORDSIZE), b"")):
            self.damage = f"{self._name} contains more after its end, at member {number:,}, as joined archives do"

    def _opened(self) -> tarfile.TarFile:
        start = self._stream.read(max(map(len, _COMPRESSIONS)))
        for signature, program in _COMPRESSIONS.items():
            if start.startswith(signature):
                raise _compressed(self._name, program)
        self._stream.seek(0)
        try:
            return tarfile.open(fileobj=self._stream, mode="r:", encoding="utf-8", errors="surrogateescape")
        except (CamserveError, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  see above
            raise UsageError(f"{self._name} is not a tar archive: {printable(str(error))}", hint=_GET_AGAIN) from None


def _compressed(name: str, program: str) -> UsageError:
    stem = os.path.splitext(name)[0].removesuffix(".tar")  # noqa: PTH122
    target = f"{stem}.tar" if f"{stem}.tar" != name else f"{stem}-decompressed.tar"
    return UsageError(
        f"{printable(name)} is a compressed archive, whose images cannot be read one by one",
        hint=f"Decompress it: {program} < {shlex.quote(printable(name))} > {shlex.quote(printable(target))}",
    )
