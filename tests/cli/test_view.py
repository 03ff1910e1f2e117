"""`camserve view` as a process: its start, its end, and who can open it."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.command_line import PROGRAM, call
from support.serve_process import listening

from camserve.serving import TritonServer

pytestmark = pytest.mark.slow


@contextmanager
def viewing(server: TritonServer, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [PROGRAM, "view", "--model", "toy", "--url", server.grpc_url, "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_served_until_a_signal(toy_server: TritonServer, number: signal.Signals) -> None:
    with viewing(toy_server) as process:
        line = first_line(process)
        assert line.startswith("Ready: http://127.0.0.1:")
        assert line.endswith("/  (toy, version 1)\n")
        url = line.split()[1]
        with urllib.request.urlopen(url) as answer:
            assert b"<title>toy: camserve view</title>" in answer.read()
        assert listening(process.pid) == {("127.0.0.1", int(url.rpartition(":")[2].rstrip("/")))}
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "Stop it with Ctrl-C\nStopped\n"


def test_json_names_the_address_and_the_versions(toy_server: TritonServer) -> None:
    with viewing(toy_server, "--json") as process:
        assert process.stdout is not None
        text = "".join(iter(process.stdout.readline, "}\n")) + "}"
        document = json.loads(text)
    assert (document["model"], document["versions"]) == ("toy", [1])
    assert document["url"].startswith("http://127.0.0.1:")


def test_an_open_page_is_announced(toy_server: TritonServer) -> None:
    with viewing(toy_server, "--host", "0.0.0.0") as process:
        assert first_line(process).startswith("Ready: http://127.0.0.1:")
        assert {address for address, _ in listening(process.pid)} == {"0.0.0.0"}
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read().startswith("warning: everyone who reaches 0.0.0.0 can open the page")


def test_an_unknown_model_is_an_error_at_the_start(toy_server: TritonServer) -> None:
    result = call("view", "--model", "tony", "--url", toy_server.grpc_url)
    assert result.returncode == 1
    assert "unknown model 'tony'" in result.stderr
    assert "Did you mean 'toy'?" in result.stderr
