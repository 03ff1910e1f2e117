"""`camserve score --engine ray`. What runs Ray is skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from support.command_line import call
from support.scoring.batches import mixed_files

from camserve.serving import TritonServer


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    mixed_files(folder, 30)
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "dask"), "--engine must be one of local, ray, got 'dask'"),
        (("--ray-address", "auto"), "--ray-address requires --engine ray"),
    ],
)
def test_invalid_engines_are_refused(photos: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = call("score", photos, "--model", "toy", "--output", tmp_path / "answers.csv", *options)
    assert result.returncode == 2
    assert f"error: {message}\n" in result.stderr
    assert not list(tmp_path.glob("answers.csv*"))


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(photos: Path, tmp_path: Path) -> None:
    result = call("score", photos, "--model", "toy", "--output", tmp_path / "answers.csv", "--engine", "ray")
    assert result.returncode == 2
    assert "hint: Install it: pip install 'camserve[ray]'\n" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'camserve[ray]'")
def test_ray_writes_the_table_of_the_local_engine_and_nothing_else(
    photos: Path, tmp_path: Path, toy_server: TritonServer, capfd: pytest.CaptureFixture[str]
) -> None:
    tables = {engine: tmp_path / f"{engine}.csv" for engine in ("local", "ray")}
    for engine, table in tables.items():
        options = ("--url", toy_server.grpc_url, "--engine", engine, "--all-probabilities", "--maps")
        result = call("score", photos, "--model", "toy", "--output", table, *options)
        assert result.returncode == 3, result.stderr
        assert [line for line in result.stderr.splitlines() if "left | limited by" not in line] == [
            "warning: 1 of 31 rows contains an error; see the column 'error'"
        ]
    assert tables["ray"].read_bytes() == tables["local"].read_bytes()
    assert capfd.readouterr() == ("", "")  # also of the processes of Ray
