"""Wrong usage and bad input: the message, the exit code, and nothing written."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from support.command_line import run

from camserve import __version__
from camserve.bundle import Bundle
from camserve.contract import PRESETS
from camserve.serving.config.accelerator_options import ACCELERATORS
from camserve.serving.config.named_options import DEFAULTS, OPTIONS


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"camserve {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exprt"], "Did you mean 'export'?"),
        (["repository", "lst"], "Did you mean 'list'?"),
        (["classify", "--model", "m"], "IMAGE"),
        (["classify", "cat.png"], "--model"),
        (["classify", "cat.png", "--model", "m", "--top", "0"], "--top"),
        (["classify", "cat.png", "--model", "m", "--cam-dir", __file__], "--cam-dir"),
        (["classify", "cat.png", "--model", "m", "--url", "http://localhost:8001"], "http://localhost:8001"),
        (["classify", "cat.png", "--model", "m", "--timeout", "0"], "timeout"),
        (["classify", "cat.png", "--model", "m", "--cam-dir", f"{__file__}/maps"], f"{__file__}/maps"),
        (["score", "photos", "--model", "m"], "--output"),
        (["score", "misspelt.png", __file__, "--model", "m", "--output", "t.csv"], "misspelt.png does not exist"),
        (["score", __file__, "--model", "m", "--output", "table.xls"], "table.xls"),
        (["export", "resnet50"], "--out"),
        (["export", "resnet50", "--out", "b", "--preprocess", "cafe"], "caffe"),
        (["export", "resnet50", "--out", "b", "--resize", "cubic"], "bicubic"),
        (["export", "resnet50", "--out", "b", "--fit", "pad"], "stretch"),
        (["export", "resnet50", "--out", "b", "--formats", "onnx,tflite"], "tflite"),
        (["export", "resnet50", "--out", "b", "--no-cam", "--cam-all"], "--no-cam"),
        (["export", "resnet50", "--out", "b", "--no-cam", "--cam-top-k", "3"], "--no-cam"),
        (["export", "resnet50", "--out", "b", "--formats", "savedmodel", "--publish", "r"], "onnx"),
        (["export", "resnet50", "--out", "b", "--publish", "r", "--name", "../up"], "../up"),
        (["publish", "b"], "--repository"),
        (["publish", "b", "--repository", "r", "--accelerator", "gpu"], "cuda"),
        (["publish", "b", "--repository", "r", "--max-batch", "0"], "--max-batch must be from 1 to 4096, got 0"),
        (["serve", "--repository", "r", "--grpc-port", "70000"], "--grpc-port"),
        (["demo", "--work", __file__], "--work"),
        (["demo", "--repository", __file__], "--repository"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_fault(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = run("classify", tmp_path / "cat.png", "--model", "m", "--url", address, "--json")
    assert result.stdout == ""
    assert result.returncode == 1
    assert address in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    result = run("--debug", "repository", "list", "--repository", tmp_path / "none")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RepositoryError" in result.stderr
    assert "\nerror: " in result.stderr


@pytest.mark.parametrize("command", [["publish", "BUNDLE"], ["serve"], ["repository", "list"]])
def test_a_repository_that_is_a_file_is_refused(command: list[str], toy_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "repository"
    file.write_text("not a folder")
    arguments = [str(toy_bundle.path) if word == "BUNDLE" else word for word in command]
    result = run(*arguments, "--repository", file)
    assert result.returncode == 1
    assert f"{file} is not a folder" in result.stderr
    assert file.read_text() == "not a folder"


def test_a_repository_that_is_a_file_is_refused_before_the_export(tmp_path: Path) -> None:
    file = tmp_path / "repository"
    file.touch()
    result = run("export", "resnet50", "--out", tmp_path / "bundle", "--publish", file)
    assert result.returncode == 1
    assert f"{file} is not a folder" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("publish", tmp_path / "bundle", "--repository", tmp_path / "repository")
    assert result.returncode == 1
    assert str(tmp_path / "bundle") in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_command_shows_an_example() -> None:
    for command in ("export", "publish", "serve", "classify", "score", "repository list", "demo"):
        assert f"Example:  camserve {command}" in run(*command.split(), "--help").stdout


@pytest.mark.parametrize("command", ["export", "publish", "serve"])
def test_examples_can_be_pasted_into_a_shell(command: str) -> None:
    examples = run(command, "--help").stdout.split("Example:  ")[1:]
    assert all("\n" not in example.strip().replace("\\\n", "") for example in examples)
    assert len([example for example in examples if "\\\n" in example]) >= 1


def test_help_names_every_choice() -> None:
    from camserve.export import RECIPES

    assert [name for name in (*RECIPES, *PRESETS) if name not in help_of("export")] == []
    assert [name for name in ACCELERATORS if name not in help_of("publish")] == []


@pytest.mark.parametrize(
    ("command", "usage"),
    [("classify", "[OPTIONS] IMAGE..."), ("score", "[OPTIONS] INPUT..."), ("export", "[OPTIONS] SOURCE")],
)
def test_help_names_arguments_and_values_without_python_types(command: str, usage: str) -> None:
    text = run(command, "--help").stdout
    assert text.startswith(f"Usage: camserve {command} {usage}\n")
    assert re.findall(r"[<{][^>}]*[>}]", text.replace("x>=", "")) == []


def help_of(command: str) -> str:
    """The help without white space, since lines break within names."""
    return re.sub(r"\s", "", run(command, "--help").stdout)


def test_publish_help_shows_the_default_of_every_flag() -> None:
    text = help_of("publish")
    assert text.count("[newmodel:") == len([option for option in OPTIONS.values() if option.flag is not None])
    assert "Largestbatch" in text
    assert f"[newmodel:{DEFAULTS['max_batch_size']}]" in text
