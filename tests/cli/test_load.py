"""`camserve load` against the toy server."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from support.command_line import call, run

from camserve.serving import TritonServer

SHORT = ("--window", "0.2", "--max-windows", "3", "--warm-up", "0.1", "--stability", "90%")


def test_a_table_has_a_row_for_each_load(toy_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "load.csv"
    options = ("--url", toy_server.grpc_url, "--model", "toy", "--concurrency", "1,2", "--output", table)
    done = run("load", *options, *SHORT)
    assert done.returncode == 0, done.stderr
    assert "concurrency 2: window 3 of at most 3" in done.stderr
    assert "share the" in done.stderr
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["concurrency"] for row in rows] == ["1", "2"]
    for row in rows:
        assert row["stable"] == "True"
        assert float(row["low"]) <= float(row["images_per_second"]) <= float(row["high"])
        assert 0 < float(row["p50_ms"]) <= float(row["p99_ms"]) <= float(row["maximum_ms"])
        assert row["errors"] == "0"
        assert f"{float(row['p50_ms']):,.1f}" in done.stdout


def test_json_has_every_window(toy_server: TritonServer, tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    options = ("--url", toy_server.grpc_url, "--model", "toy", "--rate", "100", "--json", "--output", file, "--quiet")
    done = run("load", *options, *SHORT)
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert json.loads(file.read_text()) == document
    (point,) = document["points"]
    assert point["level"] == {"concurrency": None, "rate": 100}
    assert len(point["windows"]) == 3
    assert sum(window["answers"] for window in point["windows"]) == point["answers"]


def test_a_load_that_does_not_settle_is_reported(toy_server: TritonServer) -> None:
    options = ("--url", toy_server.grpc_url, "--model", "toy", "--stability", "0.001%")
    done = run("load", *options, "--window", "0.1", "--max-windows", "3", "--warm-up", "0")
    assert done.returncode == 0
    assert "warning: concurrency 1: not stable after 3 windows" in done.stderr
    assert done.stdout.rstrip().endswith("no")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--concurrency", "1,x"), "--concurrency must be whole numbers"),
        (("--concurrency", "0"), "concurrency must be positive"),
        (("--concurrency", "1", "--rate", "5"), "exclude each other"),
        (("--arrivals", "poison"), "--arrivals must be one of"),
        (("--stability", "much"), "--stability must be a percentage"),
        (("--output", "load.txt"), "--output must end in"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], message: str) -> None:
    done = call("load", "--model", "toy", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_an_unreachable_server_is_named() -> None:
    done = call("load", "--model", "toy", "--url", "127.0.0.1:9", "--timeout", "2")
    assert done.returncode == 1
    assert "no Triton server at 127.0.0.1:9" in done.stderr
