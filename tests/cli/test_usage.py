"""Wrong usage and invalid input: the message, the exit code, and that nothing is written."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import PROGRAM, call, run

from camserve import __version__
from camserve.bundle import Bundle
from camserve.contract import PRESETS
from camserve.serving.config.accelerator_options import ACCELERATORS
from camserve.serving.config.named_options import DEFAULTS, OPTIONS

COMMANDS = ("export", "publish", "serve", "classify", "score", "evaluate", "view", "doctor")


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"camserve {__version__}\n")


def test_closed_standard_streams_are_no_error() -> None:
    closed = ["sh", "-c", 'exec "$0" --version <&- >&- 2>&-', PROGRAM]
    assert subprocess.run(closed, check=False, timeout=60).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("--version",), ("score", "--help")])
def test_standard_output_that_cannot_be_written_is_named(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert (result.returncode, result.stderr) == (
        1,
        "error: standard output cannot be written: No space left on device\n"
        "hint: Free space where it is written, or redirect it to another file\n",
    )


def test_a_pipe_that_nobody_reads_is_no_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [PROGRAM, "score", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["exprt"], "Did you mean 'export'?"),
        (["repository", "lst"], "Did you mean 'list'?"),
        (["classify", "--model", "m"], "IMAGE"),
        (["classify", "cat.png"], "--model"),
        (["classify", "cat.png", "--model", "m", "--top", "0"], "--top must be at least 1, got 0"),
        (["classify", "cat.png", "--model", "m", "--top", "x"], "--top must be an integer, got x"),
        (["classify", "cat.png", "--model", "m", "--timeot", "3"], "Did you mean '--timeout'?"),
        (["serve", "--repository", "r", "extra"], "unexpected argument: extra"),
        (["classify", "cat.png", "--model", "m", "--cam-dir", __file__], "--cam-dir"),
        (["classify", "cat.png", "--model", "m", "--url", "http://localhost:8001"], "http://localhost:8001"),
        (["classify", "cat.png", "--model", "m", "--timeout", "0"], "timeout"),
        (["classify", "cat.png", "--model", "m", "--cam-dir", f"{__file__}/maps"], f"{__file__}/maps"),
        (["score", "photos", "--model", "m"], "--output"),
        (["score", "--model", "m", "--output", "t.csv"], "an INPUT or --files-from is required"),
        (["score", __file__, "--output", "t.csv"], "--bundle"),
        (["score", "misspelled.png", __file__, "--model", "m", "--output", "t.csv"], "misspelled.png does not exist"),
        (["score", __file__, "--model", "m", "--output", "table.xls"], "table.xls"),
        (["evaluate", "missing.csv"], "missing.csv: No such file"),
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
        (["serve", "--repository", "r", "--grpc-port", "70000"], "--grpc-port must be at most 65535, got 70000"),
        (["demo", "--work", __file__], "--work"),
        (["demo", "--repository", __file__], "--repository"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_problem(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.returncode == 2, result.stderr
    assert expected in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = call("classify", tmp_path / "cat.png", "--model", "m", "--url", address, "--json")
    error = json.loads(result.stdout)["error"]
    assert (error["type"], error["exit_code"]) == ("ConnectionFailedError", 1)
    assert address in error["message"]
    assert result.returncode == 1
    assert address in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_prints_the_traceback(tmp_path: Path) -> None:
    result = call("--debug", "repository", "list", "--repository", tmp_path / "none")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RepositoryError" in result.stderr
    assert "\nerror: " in result.stderr


@pytest.mark.parametrize("command", [["publish", "BUNDLE"], ["serve"], ["repository", "list"]])
def test_a_file_as_repository_is_an_error(command: list[str], toy_bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "repository"
    file.write_text("not a folder")
    arguments = [str(toy_bundle.path) if word == "BUNDLE" else word for word in command]
    result = call(*arguments, "--repository", file)
    assert result.returncode == 1
    assert f"{file} is not a folder" in result.stderr
    assert file.read_text() == "not a folder"


def test_a_file_as_repository_is_an_error_before_the_export(tmp_path: Path) -> None:
    file = tmp_path / "repository"
    file.touch()
    result = run("export", "resnet50", "--out", tmp_path / "bundle", "--publish", file)
    assert result.returncode == 1
    assert f"{file} is not a folder" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    result = call("publish", tmp_path / "bundle", "--repository", tmp_path / "repository")
    assert result.returncode == 1
    assert str(tmp_path / "bundle") in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_of_every_command_has_an_example() -> None:
    for command in (*COMMANDS, "repository list", "demo"):
        assert f"Example:  camserve {command}" in call(*command.split(), "--help").stdout


@pytest.mark.parametrize("command", ["export", "publish", "serve"])
def test_examples_can_be_pasted_into_a_shell(command: str) -> None:
    examples = call(command, "--help").stdout.split("Example:  ")[1:]
    assert all("\n" not in example.strip().replace("\\\n", "") for example in examples)
    assert len([example for example in examples if "\\\n" in example]) >= 1


def test_help_lists_every_choice() -> None:
    from camserve.export import RECIPES

    assert [name for name in (*RECIPES, *PRESETS) if name not in help_of("export")] == []
    assert [name for name in ACCELERATORS if name not in help_of("publish")] == []


@pytest.mark.parametrize(
    ("command", "usage"),
    [("classify", "[OPTIONS] IMAGE..."), ("score", "[OPTIONS] [INPUT]..."), ("export", "[OPTIONS] SOURCE")],
)
def test_help_shows_no_python_types(command: str, usage: str) -> None:
    text = call(command, "--help").stdout
    assert text.startswith(f"Usage: camserve {command} {usage}\n")
    assert re.findall(r"[<{][^>}]*[>}]", text.replace("x>=", "")) == []


def help_of(command: str) -> str:
    """Return the help without white space, since lines break within names."""
    return re.sub(r"\s", "", call(command, "--help").stdout)


def test_publish_help_shows_the_default_of_every_flag() -> None:
    text = help_of("publish")
    assert text.count("[newmodel:") == len([option for option in OPTIONS.values() if option.flag is not None])
    assert "Largestbatch" in text
    assert f"[newmodel:{DEFAULTS['max_batch_size']}]" in text


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["classify", "--model", "m"], "missing argument 'IMAGE'", "Run: camserve classify --help"),
        (["repository", "lst"], "no such command 'lst'", "Did you mean 'list'?"),
        (["export", "x", "--out", "o", "--fit", "strech"], "--fit must be one of", "Did you mean 'stretch'?"),
    ],
)
def test_wrong_usage_is_json_on_stdout_with_json(arguments: list[str], message: str, hint: str) -> None:
    result = call(*arguments, "--json")
    error = json.loads(result.stdout)["error"]
    assert (result.returncode, error["exit_code"], error["type"]) == (2, 2, "UsageError")
    assert error["message"].startswith(message)
    assert error["hint"] == hint
    assert result.stderr == f"error: {error['message']}\nhint: {hint}\n"


@pytest.mark.parametrize("arguments", [["--quiet", "serve"], ["serve", "--quiet"]])
def test_quiet_is_accepted_before_and_after_the_command(arguments: list[str], tmp_path: Path) -> None:
    result = call(*arguments, "--repository", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("camserve repos", "repository"),
        ("camserve export x --precision f", "fp16"),
        ("camserve repository rollback --repository {repository} t", "toy"),
    ],
)
def test_the_shell_completes_commands_choices_and_models(words: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "config.pbtxt").touch()
    line = words.format(repository=tmp_path)
    completion = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_CAMSERVE_COMPLETE": "complete_bash"}
    assert expected in run(environment=completion).stdout.split()


def test_completion_can_be_shown_and_installed() -> None:
    assert "--install-completion" in call("--help").stdout
    shown = run("--show-completion", "bash", environment={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_CAMSERVE_COMPLETE=complete_bash" in shown.stdout


@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize("command", ["", "repository", "repository rollback", *COMMANDS])
def test_help_fits_the_terminal_and_cuts_nothing(command: str, columns: int) -> None:
    text = run(*command.split(), "--help", environment={"COLUMNS": str(columns)}).stdout
    assert max(map(len, text.splitlines())) <= columns
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|\.\.\.\]|IMAGE\.\.\.|INPUT\]?\.\.\.", "", text)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["classify", "https://example.org/cat.jpg", "--model", "m"], "IMAGE"),
        (
            ["score", "cat.jpg", "--model", "m", "--output", "t.csv", "--overlays", "https://example.org/cat.jpg"],
            "--overlays",
        ),
        (["export", "https://example.org/cat.jpg", "--out", "o"], "SOURCE"),
        (["serve", "--repository", "https://example.org/cat.jpg"], "--repository"),
    ],
)
def test_a_url_as_a_path_is_wrong_usage_and_printed_whole(arguments: list[str], name: str) -> None:
    result = call(*arguments)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: {name} must be a local path, got the URL https://example.org/cat.jpg\n"
        "hint: Download it first: curl -LO https://example.org/cat.jpg\n"
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["export", "resnet5", "--out", "b"], "Did you mean 'resnet50'?"),
        (["export", "resnet50", "--out", "b", "--bound", "logit=1"], "Did you mean 'logits'?"),
        (["publish", "b", "--repository", "r", "--preset", "gpuu"], "Did you mean 'gpu'?"),
        (["publish", "b", "--repository", "r", "--set", "thread=3"], "Did you mean 'threads'?"),
    ],
)
def test_a_misspelled_name_is_answered_with_a_suggestion(arguments: list[str], hint: str) -> None:
    assert call(*arguments).stderr.endswith(f"hint: {hint}\n")


def test_usage_errors_of_export_come_without_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing" / "photo.jpg").touch()
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    (tmp_path / "pets.keras").touch()
    mistakes = [
        ["missing.keras", "--out", "b"],
        ["pets.keras", "--out", "b"],
        ["resnet-mini", "--out", "b", "--labels", "labels.txt"],
        ["resnet-mini", "--out", "existing"],
        ["resnet-mini", "--out", "b", "--bound", "logit=1"],
        ["resnet-mini", "--out", "b", "--cam-all", "--no-cam"],
    ]
    code = f"""if True:
        import os, sys
        from camserve.cli import main
        os.chdir({str(tmp_path)!r})
        for arguments in {mistakes!r}:
            try:
                main(["export", *arguments])
            except SystemExit as end:
                assert end.code in (1, 2), end.code
        print([name for name in ("tensorflow", "keras", "onnx") if name in sys.modules])
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
    assert result.stderr.count("error: ") == len(mistakes)
