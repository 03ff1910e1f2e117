"""What the programs of a soak share: the server's address, the images and the known answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from support.soak.known_answers import KnownAnswers
from support.toy import with_pixels, write_toy_bundle

from camserve.bundle import Bundle, load_bundle

__all__ = [
    "CLASSES",
    "DELAYED",
    "REPLACED",
    "UNCHANGED",
    "Site",
    "load_site",
    "save_site",
    "write_bundles",
    "write_images",
]

DELAYED, PIXELS, UNCHANGED = "delayed", "pixels", "unchanged"
REPLACED = (DELAYED, PIXELS)
"""The models whose versions are replaced."""

CLASSES = 6
_DAMAGED = "damaged.png"


@dataclass(frozen=True)
class Site:
    """A server and what it should answer.

    Attributes:
        url: Its gRPC address.
        known: The known answers.
        damaged: A file that is no image.
    """

    url: str
    known: KnownAnswers
    damaged: Path


def write_bundles(folder: Path) -> dict[str, list[Bundle]]:
    """Write two bundles, of the same contract and other weights, for each model that is replaced, and one for another.

    `pixels` takes uint8 pixels and preprocesses them in its graph; `unchanged` takes gray images and has a map of each
    class; `delayed` is for publishing with a delay of the batcher, so that a deadline passes about when it answers.
    """
    delayed = [
        write_toy_bundle(folder / f"{DELAYED}-{seed}", name=DELAYED, size=(32, 32), classes=CLASSES, seed=seed)
        for seed in (1, 2)
    ]
    pixels = [
        with_pixels(
            write_toy_bundle(
                folder / f"{PIXELS}-{seed}", name=PIXELS, size=(32, 32), classes=CLASSES, preset="torch", seed=seed
            )
        )
        for seed in (1, 2)
    ]
    unchanged = write_toy_bundle(
        folder / UNCHANGED, name=UNCHANGED, size=(24, 24), channels=1, classes=CLASSES, all_maps=True, seed=3
    )
    return {DELAYED: delayed, PIXELS: pixels, UNCHANGED: [unchanged]}


def write_images(folder: Path, number: int) -> list[Path]:
    """Write images that differ in brightness and color."""
    folder.mkdir()
    random, paths = np.random.default_rng(0), []
    for place in range(number):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
        paths.append(folder / f"{place:03}.png")
        coarse.resize((60, 60)).save(paths[-1])
    return paths


def save_site(path: Path, *, url: str, repository: Path, bundles: Mapping[str, Sequence[Bundle]], images: Path) -> None:
    """Write a description of the site for the other programs; `images` is the folder of `write_images`."""
    folders = {model: [str(bundle.path) for bundle in several] for model, several in bundles.items()}
    document = {"url": url, "repository": str(repository), "bundles": folders, "images": str(images)}
    path.write_text(json.dumps(document))
    path.with_name(_DAMAGED).write_bytes(b"not an image")


def load_site(path: Path) -> Site:
    """Read the description of a site and compute the known answers."""
    document = json.loads(path.read_text())
    bundles = {model: [load_bundle(folder) for folder in several] for model, several in document["bundles"].items()}
    images = sorted(Path(document["images"]).iterdir())
    return Site(document["url"], KnownAnswers(Path(document["repository"]), bundles, images), path.with_name(_DAMAGED))
