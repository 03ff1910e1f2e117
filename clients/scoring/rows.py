"""A row of a table: the answer for one image, or its error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from camserve.clients.answers.predictions import Prediction

__all__ = ["RowMap", "ScoredRow"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RowMap:
    """The class activation map of a row's best class.

    Attributes:
        peak: Its `ActivationMap.peak`: x and y of the highest value, in pixels of the image.
        box: Its `ActivationMap.bbox()`: left, top, right and bottom of the largest region with high values, in pixels
            of the image; None if no value is above 0.
        grid: Its values, float32 `[rows, columns]`, in units of the logit. They are not compared.
        area: The part of the image that it covers, which is `Placement.box`: left, top, right and bottom in pixels.
    """

    peak: tuple[int, int]
    box: tuple[int, int, int, int] | None
    grid: Array = field(repr=False, compare=False)
    area: tuple[int, int, int, int]


@dataclass(frozen=True)
class ScoredRow:
    """The result for one image: its most probable classes, or an error.

    Attributes:
        path: The file, or where the image is: `shard.tar/0001.jpg`, `table.parquet:17`, `s3://bucket/cat.jpg`.
        top: Its most probable classes, in descending order; empty in case of an error.
        error: The error, in one line.
        model: Name of the model that answered; None in case of an error.
        version: Version of the model that answered; None in case of an error.
        probabilities: Probabilities of all classes, float32 `[classes]`; None in case of an error, or if they were not
            requested. They are not compared.
        id: What names the image within its input: the path within the folder, the name in the shard, or the number or
            identifier of the row; the path if the image was given itself.
        sha256: Checksum of the bytes of the image file, in hexadecimal; None if it could not be read.
        map: The map of the best class; None in case of an error, or if it was not requested.
    """

    path: str
    top: tuple[Prediction, ...] = ()
    error: str | None = None
    model: str | None = None
    version: str | None = None
    probabilities: Array | None = field(default=None, repr=False, compare=False)
    id: str = ""
    sha256: str | None = None
    map: RowMap | None = None
