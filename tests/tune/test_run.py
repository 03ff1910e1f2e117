"""Tuning with the embedded Triton, and what the command writes."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from support.command_line import PROGRAM, call
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import UsageError
from camserve.serving import publish, read_option_file
from camserve.serving.config.message import read_config, read_options
from camserve.tune.choices import Candidate, Choices, first_candidates, grid
from camserve.tune.run import Tuning

_FEW = Choices(cores=1, concurrencies=(1, 4), batches=(4,), delays=(0,))


@pytest.mark.slow
def test_the_winner_is_published_with_the_options_that_were_measured(toy_bundle: Bundle, tmp_path: Path) -> None:
    result = Tuning([toy_bundle.path], seconds=8, choices=_FEW, limit=1000.0).run()
    assert result.winner is not None
    assert result.winner_point is not None
    assert result.winner_point.images_per_second > 50
    assert {each.backend for each in result.candidates} == {"onnxruntime", "openvino"}
    assert [each for each in result.left_out if "tensorflow" in each]
    from camserve.cli.tune_view import write_result

    path = write_result(result, tmp_path / "tuned")
    assert path is not None
    file = read_option_file(path)
    assert file.backend == result.winner.backend
    publish(toy_bundle, tmp_path / "models", options=file.options, backend=file.backend)
    published = read_options(read_config(tmp_path / "models" / "toy" / "config.pbtxt"))
    assert {name: published[name] for name in result.winner.options} == result.winner.options
    document = json.loads((tmp_path / "tuned" / "result.json").read_text())
    assert document["winner"]["backend"] == result.winner.backend
    assert (tmp_path / "tuned" / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_limit_that_nothing_holds_is_exit_code_1_with_evidence(toy_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    arguments = ["--p99", "0.01", "--concurrency", "1", "--time", "8", "--out", str(out), "--json"]
    result = call("tune", str(toy_bundle.path), *arguments)
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert document["winner"] is None
    assert json.loads((out / "result.json").read_text()) == document
    assert not (out / "options.toml").exists()


@pytest.mark.slow
def test_an_interrupted_search_writes_what_was_measured(toy_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    words = [PROGRAM, "tune", str(toy_bundle.path), "--time", "120", "--out", str(out), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "bundle and backend" in process.stderr.readline()  # the first reading has ended
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert errors.endswith("Interrupted\n")
    document = json.loads(printed)
    assert json.loads((out / "result.json").read_text()) == document
    assert any("ended early" in note for note in document["notes"])
    assert read_option_file(out / "options.toml").backend == document["winner"]["backend"]


def test_bundles_of_different_networks_are_refused(toy_bundle: Bundle, tmp_path: Path) -> None:
    other = write_toy_bundle(tmp_path / "other", size=(16, 16))
    with pytest.raises(UsageError, match="of different networks"):
        Tuning([toy_bundle.path, other.path])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0.0}, "--p99 must be between 0 and 1,000,000 ms, got 0"),
        ({"concurrency": 0}, "--concurrency must be from 1 to 4,096, got 0"),
        ({"seconds": 0.5}, "--time must be from 1 to 86,400 s, got 0.5"),
    ],
)
def test_invalid_options_are_refused(toy_bundle: Bundle, options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tuning([toy_bundle.path], **options)  # type: ignore[arg-type]


def test_every_candidate_of_the_grid_can_be_published(toy_bundle: Bundle) -> None:
    first, left_out = first_candidates([toy_bundle], 2)
    assert [each.backend for each in first] == ["onnxruntime", "openvino"]
    assert left_out == [f"{toy_bundle.path.name} (fp32) on tensorflow: the bundle has no SavedModel"]
    candidates = grid(first, Choices(cores=2))
    assert len(set(candidates)) == len(candidates) > 50
    assert Candidate(str(toy_bundle.path), "fp32", "onnxruntime", 2, 1, 16, 2_000, (1, 2, 4, 8, 16)) in candidates
