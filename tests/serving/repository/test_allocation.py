"""Allocation of version numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.errors import RepositoryError
from camserve.serving import publish
from camserve.serving.repository.allocation import NUMBERS_NAME, Allocated, allocate_version, read_numbers
from camserve.serving.repository.prune import prune

MANIFEST = "a" * 64


def test_the_highest_allocated_number_is_stored(tmp_path: Path) -> None:
    assert read_numbers(tmp_path) == {}
    for model, number in (("toy", 1), ("other", 7), ("toy", 2)):
        allocate_version(tmp_path, tmp_path, model, Allocated(number, MANIFEST))
    assert read_numbers(tmp_path) == {"toy": Allocated(2, MANIFEST), "other": Allocated(7, MANIFEST)}


def test_a_damaged_file_is_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    path = tmp_path / NUMBERS_NAME
    path.write_text(path.read_text().replace("toy 1", "toy 0"))
    with pytest.raises(RepositoryError, match=r"is damaged.*remove it"):
        publish(toy_bundle, tmp_path)
    path.unlink()
    assert publish(toy_bundle, tmp_path).version == 2


def test_a_number_is_never_used_twice(toy_bundle: Bundle, tmp_path: Path) -> None:
    for _ in range(3):
        publish(toy_bundle, tmp_path)
    prune(tmp_path, keep=1)
    (tmp_path / "toy" / "3").rename(tmp_path.parent / f"{tmp_path.name}-gone")
    (tmp_path / "toy" / "config.pbtxt").unlink()
    assert publish(toy_bundle, tmp_path).version == 4
