"""Attacks in the archive itself: names, number and uncompressed size of its members."""

from __future__ import annotations

import zipfile
from pathlib import Path

from attacks.architecture_attacks import lambda_layer
from attacks.material import BLOCK, BOMB, Build, network, saved, unpacked

__all__ = ["config_twice", "deep_config", "extra_member", "packed"]


def extra_member(name: str, *, link: bool = False) -> Build:
    def build(folder: Path, canary: Path) -> Path:
        path = saved(folder, network(), "model.keras")
        with zipfile.ZipFile(path, "a") as archive:
            member = zipfile.ZipInfo(name.format(canary=canary, folder=canary.parent))
            member.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(member, str(canary))
            archive.writestr("assets/notes.txt", "a fourth member, which makes Keras unpack all of them")
        return path

    return build


def config_twice(folder: Path, canary: Path) -> Path:
    path = lambda_layer("model.keras")(folder, canary)
    harmless = saved(folder, network(), "other.keras")
    with zipfile.ZipFile(harmless) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", config)
    return path


def packed(member: str) -> Build:
    """Return the build of an archive with a member that expands to hundreds of times its size."""

    def build(folder: Path, canary: Path) -> Path:
        path = saved(folder, network(), "model.keras")
        with unpacked(path) as members:
            start = members.pop(member)
        with (
            zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(member, "w") as stream,
        ):
            stream.write(start)
            for _ in range(BOMB):
                stream.write(b" " * BLOCK)
        return path

    return build


def deep_config(folder: Path, canary: Path) -> Path:
    path = saved(folder, network(), "model.keras")
    with unpacked(path) as members:
        members["config.json"] = b"[" * 200_000 + b"]" * 200_000
    return path
