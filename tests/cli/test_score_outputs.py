"""The outputs of `camserve score`: formats, maps and overlays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import dataset
from support.command_line import call

from camserve.clients import Classifier, read_map_grid
from camserve.serving import TritonServer


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for place, name in enumerate(("cats/1.png", "cats/1.jpg", "2.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(place).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.mark.parametrize("name", ["answers.jsonl", "answers/"])
def test_maps_are_columns_and_overlays_files(photos: Path, toy_server: TritonServer, tmp_path: Path, name: str) -> None:
    overlays = tmp_path / "overlays"
    where = ("--model", "toy", "--url", toy_server.grpc_url, "--output", f"{tmp_path}/{name}")
    result = call("score", photos, *where, "--top", "1", "--maps", "--overlays", overlays)
    assert result.returncode == 0, result.stderr
    if name.endswith("/"):
        rows = dataset.dataset(tmp_path / name).to_table().to_pylist()
        assert (tmp_path / name / "_SUCCESS").is_file()
    else:
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    assert [row["id"] for row in rows] == ["2.png", "cats/1.jpg", "cats/1.png"]
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        for row in rows:
            assert read_map_grid(row) == pytest.approx(classifier.cam(row["path"]).grid, abs=1e-6)
    drawn = {path.relative_to(overlays).as_posix() for path in overlays.rglob("*") if path.is_file()}
    assert drawn == {"2.png.png", "cats/1.jpg.png", "cats/1.png.png"}


def test_two_images_with_one_overlay_are_refused_before_scoring(
    photos: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    (tmp_path / "more" / "2.png").parent.mkdir()
    (tmp_path / "more" / "2.png").write_bytes((photos / "2.png").read_bytes())
    table, where = tmp_path / "answers.csv", ("--model", "toy", "--url", toy_server.grpc_url)
    result = call("score", photos, tmp_path / "more", *where, "--output", table, "--overlays", tmp_path / "overlays")
    assert result.returncode == 2
    assert "two images have the id '2.png'" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "overlays", "photos"]
