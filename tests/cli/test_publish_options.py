"""Where the serving options of `camserve publish` come from, and which take precedence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.command_line import call

from camserve.bundle import Bundle
from camserve.cli.publish_options import requested_options
from camserve.serving import read_option_file, write_option_file
from camserve.serving.config.message import read_config, read_options

_FILE = {"instances": 3, "threads": 3, "max_batch_size": 3}


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    path = tmp_path / "tuned.toml"
    write_option_file(path, backend="tensorflow", options=_FILE)
    return path


def test_flags_precede_set_which_precedes_the_file_and_the_preset(
    tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, flags = ["instances=2", "threads=2"], {"threads": "1", "max_queue_delay_us": None}
    requested = requested_options(Path("none"), "cpu-throughput", 4, tuned, settings, flags)
    expected: dict[str, Any] = {"threads": 1, "instances": 2, "max_batch_size": 3, "max_queue_delay_us": 1000}
    assert requested.options == {**expected, "accelerator": "none"}
    assert requested.backend == "tensorflow"
    values = "backend=tensorflow instances=3 threads=3 max_batch_size=3"
    note = f"{values}; the command line replaces them by instances=2 threads=1"
    assert f"Options from {tuned}: {note}\n" in capsys.readouterr().err.replace("\n  ", " ")


def test_the_backend_of_the_command_line_replaces_that_of_the_file(tuned: Path) -> None:
    assert requested_options(Path("none"), None, None, tuned, None, {}, "onnxruntime").backend == "onnxruntime"
    assert requested_options(Path("none"), None, None, None, None, {}).backend is None


def test_options_of_another_accelerator_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_option_file(tmp_path / "f.toml", options={"accelerator": "cuda", "gpu_mem_limit": 2**30})
    requested = requested_options(Path("none"), None, None, tmp_path / "f.toml", None, {"accelerator": "none"})
    assert requested.options == {"accelerator": "none"}
    assert "replaces them by accelerator=none no gpu_mem_limit" in capsys.readouterr().err


@pytest.mark.slow
def test_publish_uses_the_options_of_a_file(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    write_option_file(path, backend="onnxruntime", options=_FILE)
    result = call("publish", toy_bundle.path, "--repository", tmp_path / "r", "--options", path, "--max-batch", "2")
    assert result.returncode == 0, result.stderr
    options = read_options(read_config(tmp_path / "r" / "toy" / "config.pbtxt"))
    assert {name: options[name] for name in _FILE} == {**read_option_file(path).options, "max_batch_size": 2}


def test_publish_names_the_file_of_an_unknown_option(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text("[options]\ninstance = 2\n")
    result = call("publish", toy_bundle.path, "--repository", tmp_path / "r", "--options", path)
    assert result.returncode == 2
    assert result.stderr == f"error: {path}: unknown serving option 'instance'\nhint: Did you mean 'instances'?\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[options]\nbatch_sizes = [1, 9]\n", "batch_sizes must be at most max_batch_size (8), got 9"),
        ('[options]\naccelerator = "cuda"\ntensorrt_precision = "fp16"\n', "tensorrt_precision is not an option of"),
        ('backend = "openvino"\n[options]\naccelerator = "cuda"\n', "the openvino backend does not support accel"),
    ],
)
def test_publish_names_the_file_of_options_that_contradict_each_other(
    toy_bundle: Bundle, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    result = call("publish", toy_bundle.path, "--repository", tmp_path / "r", "--options", path)
    assert result.returncode == 2
    assert f"error: {path}: {message}" in result.stderr
    assert not (tmp_path / "r" / "toy").exists()


def test_publish_names_no_file_if_the_command_line_contradicts_it(toy_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text("[options]\nbatch_sizes = [1, 4]\n")
    arguments = ("--repository", tmp_path / "r", "--options", path, "--max-batch", "2")
    result = call("publish", toy_bundle.path, *arguments)
    assert result.returncode == 2
    assert "error: batch_sizes must be at most max_batch_size (2), got 4" in result.stderr
