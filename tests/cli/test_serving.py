"""`camserve publish`, `camserve repository list` and `camserve serve`, with the real server."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from command_line import PROGRAM, run

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.serving import ServingOptions, publish
from camserve.serving.config.message import read_config, read_options

READY_SECONDS = 60


def test_publish_counts_versions_up_and_list_shows_them(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for version in (1, 2):
        result = run("publish", toy_bundle.path, "--repository", repository, "--json")
        assert result.returncode == 0, result.stderr
        expected = {"name": "toy", "version": version, "path": str(repository / "toy" / str(version))}
        assert json.loads(result.stdout) == expected
    listed = run("repository", "list", "--repository", repository, "--json")
    (model,) = json.loads(listed.stdout)
    assert model["name"] == "toy"
    assert [(each["version"], each["served"]) for each in model["versions"]] == [(1, False), (2, True)]
    table = run("repository", "list", "--repository", repository).stdout
    assert table.count("toy") == 2


def test_publish_says_how_to_serve(toy_bundle: Bundle, tmp_path: Path) -> None:
    result = run("publish", toy_bundle.path, "--repository", tmp_path / "repository", "--name", "other")
    assert "other, version 1" in result.stdout
    assert f"camserve serve --repository {tmp_path / 'repository'}" in result.stdout


def test_publish_says_that_a_running_server_must_be_restarted(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "my models"
    first, second = (run("publish", toy_bundle.path, "--repository", repository) for _ in range(2))
    assert shlex.split(first.stdout.splitlines()[1])[1:] == ["camserve", "serve", "--repository", str(repository)]
    assert "restarted" not in first.stdout
    assert "serves version 2 once it is restarted" in second.stdout


def test_publish_changes_only_the_options_that_are_given(toy_bundle: Bundle, tmp_path: Path) -> None:
    for given in (["--max-batch", "4", "--threads", "2"], ["--no-warm-up"], []):
        assert run("publish", toy_bundle.path, "--repository", tmp_path, *given).returncode == 0
    path = tmp_path / "toy" / "config.pbtxt"
    assert read_options(read_config(path)) == asdict(ServingOptions(max_batch_size=4, threads=2, warmup=False))
    run("publish", toy_bundle.path, "--repository", tmp_path, "--threads", "0")
    assert read_options(read_config(path))["threads"] is None


def test_a_repository_without_models_is_said_to_have_none(tmp_path: Path) -> None:
    result = run("repository", "list", "--repository", tmp_path)
    assert (result.returncode, result.stdout) == (0, f"no models in {tmp_path}\n")
    assert run("repository", "list", "--repository", tmp_path, "--json").stdout == "[]\n"


def test_an_altered_bundle_is_not_published(toy_bundle: Bundle, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in toy_bundle.path.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    (bundle / "labels.txt").write_text("a\nb\nc\nd\n")
    result = run("publish", bundle, "--repository", tmp_path / "repository")
    assert result.returncode == 1
    assert "labels.txt was altered" in result.stderr
    assert not (tmp_path / "repository").exists()


class Served:
    """A running `camserve serve` on free ports, and what it said when it was ready."""

    def __init__(self, repository: Path) -> None:
        ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--repository", str(repository), *ports, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self.process.stdout is None:
            raise ValueError("stdout was asked for")
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                break
        self.ready: dict[str, Any] = json.loads(text)

    def triton(self) -> int:
        """The process number of the server itself."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (number,) = (int(child) for child in children if "tritonserver" in Path(f"/proc/{child}/cmdline").read_text())
        return number

    def end(self) -> tuple[int, str]:
        """Waits for its end and returns exit code and stderr."""
        _, said = self.process.communicate(timeout=READY_SECONDS)
        return self.process.returncode, said


@pytest.fixture
def served(toy_repository: Path) -> Iterator[Served]:
    running = Served(toy_repository)
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate(timeout=READY_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_told_to_end(served: Served, number: signal.Signals) -> None:
    assert served.ready["models"] == {"toy": [1]}
    assert served.ready["grpc"].startswith("127.0.0.1:")
    with Classifier(served.ready["grpc"], "toy") as classifier:
        assert classifier.is_ready()
    triton = served.triton()
    served.process.send_signal(number)
    code, said = served.end()
    assert code == 0, said
    assert said.endswith("Stopped\n")
    assert not Path(f"/proc/{triton}").exists()


def test_serve_fails_when_its_server_dies(served: Served) -> None:
    os.kill(served.triton(), signal.SIGKILL)
    code, said = served.end()
    assert code == 1
    assert "error: Triton ended by itself with signal SIGKILL; the end of its log:\n  " in said


def test_serve_says_that_a_port_is_taken(served: Served, toy_repository: Path) -> None:
    port = served.ready["http"].rpartition(":")[2]
    result = run("serve", "--repository", toy_repository, "--http-port", port)
    assert result.returncode == 1
    assert port in result.stderr


def test_serve_without_a_model_says_how_to_publish_one(tmp_path: Path) -> None:
    result = run("serve", "--repository", tmp_path)
    assert result.returncode == 1
    assert "camserve publish" in result.stderr


def test_a_failed_start_ends_with_its_log(toy_bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(toy_bundle, tmp_path / "repository")
    (publication.path / "model.onnx").write_bytes(b"no graph")
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    log = tmp_path / "triton.log"
    result = run("serve", "--repository", tmp_path / "repository", *ports, "--log", log)
    assert result.returncode == 1
    _, error, *end, hint = result.stderr.splitlines()
    assert error.startswith("error: Triton cannot serve")
    assert error.endswith("the end of its log:")
    assert hint.startswith("hint: Publish a sound version")
    assert 5 < len(end) <= 15
    assert all(line.startswith("  ") for line in end)
    written = log.read_text(encoding="utf-8")
    assert "failed to load 'toy'" in written
    assert end[-1].strip() in written
