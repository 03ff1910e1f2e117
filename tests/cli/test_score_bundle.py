"""`camserve score --bundle`, without a server."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call

from camserve.bundle import Bundle
from camserve.serving import TritonServer


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(24):
        path = tmp_path / "photos" / f"class {number % 4}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 11, 3), np.uint8)).save(path)
    (tmp_path / "photos" / "class 1" / "bad.png").write_bytes(b"no image")
    return tmp_path / "photos"


@pytest.fixture
def scored(photos: Path, toy_server: TritonServer, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    def score(*arguments: str | Path) -> list[dict[str, str]]:
        table = tmp_path / "answers.csv"
        result = call("score", photos, "--output", table, *arguments)
        assert result.returncode == 3, result.stderr
        with table.open(newline="") as stream:
            return list(csv.DictReader(stream))

    return score


@pytest.mark.parametrize(
    "options",
    [("--top", "3"), ("--all-probabilities", "--maps"), ("--crops", "3"), ("--all-probabilities", "--workers", "2")],
    ids=["classes", "maps", "crops", "worker processes"],
)
def test_rows_of_a_bundle_equal_those_of_the_embedded_triton(
    scored: Callable[..., list[dict[str, str]]], toy_bundle: Bundle, toy_server: TritonServer, options: tuple[str, ...]
) -> None:
    ours = scored("--bundle", toy_bundle.path, *options)
    served = scored("--model", "toy", "--url", toy_server.grpc_url, *options)
    assert {row.pop("version")[:7] for row in ours} == {"bundle-", ""}
    assert {row.pop("version") for row in served} == {"1", ""}
    assert ours == served
    assert len(ours) == 25


def test_what_answers_is_said_unless_quiet(photos: Path, toy_bundle: Bundle, tmp_path: Path) -> None:
    command = ("score", photos, "--bundle", toy_bundle.path, "--output", tmp_path / "answers.csv")
    line = f"{toy_bundle.path} answers on the CPU of this host, through ONNX Runtime\n"
    assert line in call(*command).stderr
    assert line not in call(*command, "--quiet").stderr


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ((), "neither --model nor --bundle was given", "Pass --model NAME"),
        (("--bundle", "B", "--model", "toy"), "--model and --bundle exclude each other", "or --bundle DIR"),
        (("--bundle", "B", "--url", "localhost:8001"), "--url concerns a server", "Leave out --url"),
        (("--bundle", "B", "--pin-version"), "--pin-version concerns a server", "Leave out --pin-version"),
        (("--bundle", "B", "--patience", "300"), "--patience concerns a server", "Leave out --patience"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    photos: Path, tmp_path: Path, options: tuple[str, ...], message: str, hint: str
) -> None:
    result = call("score", photos, "--output", tmp_path / "answers.csv", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert hint in result.stderr
    assert not (tmp_path / "answers.csv").exists()


def test_a_token_for_servers_does_not_prevent_a_bundle(
    scored: Callable[..., list[dict[str, str]]], toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMSERVE_TOKEN", "secret")
    assert len(scored("--bundle", toy_bundle.path)) == 25
