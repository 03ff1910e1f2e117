"""The script that starts the container's server: what it tells Triton, and what Triton then refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

SCRIPT = Path(__file__).parents[2] / "docker" / "start-server.sh"
HEADER = "triton-grpc-protocol-camserve-admin-key"
KEY = "a-key-for-these-tests"
CLOSED: dict[str, Callable[[Any, dict[str, str]], Any]] = {
    "list the repository": lambda client, headers: client.get_model_repository_index(headers=headers),
    "unload a model": lambda client, headers: client.unload_model("no-such-model", headers=headers),
    "register shared memory": lambda client, headers: client.register_system_shared_memory(
        "region", "/region", 16, headers=headers
    ),
    "change the trace": lambda client, headers: client.update_trace_settings(settings={}, headers=headers),
    "change the log": lambda client, headers: client.update_log_settings(settings={}, headers=headers),
}


@pytest.fixture
def tritonserver_that_tells(tmp_path: Path) -> dict[str, str]:
    """An environment in which `tritonserver` prints the words that it was started with."""
    program = tmp_path / "tritonserver"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CAMSERVE_ADMIN_KEY_FILE": "/dev/null"}


def told(environment: dict[str, str], *words: str) -> list[str]:
    result = subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(result.stdout)
    return found


def test_the_server_is_closed_by_its_flags(tritonserver_that_tells: dict[str, str]) -> None:
    words = told(tritonserver_that_tells)
    assert {
        "--model-repository=/models",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--disable-auto-complete-config",
        "--allow-client-shm=false",
        "--exit-on-error=true",
        "--exit-timeout-secs=30",
    } <= set(words)
    assert not [word for word in words if "poll" in word or word.startswith(("--cache", "--repository-poll"))]


def test_each_start_draws_another_key_where_none_is_given(tritonserver_that_tells: dict[str, str]) -> None:
    keys = [word for _ in range(2) for word in told(tritonserver_that_tells) if "restricted" in word]
    assert len(keys) == 4
    assert keys[0].partition(":")[2] == keys[1].partition(":")[2]
    assert keys[1] != keys[3]


def test_words_of_the_container_come_last(tritonserver_that_tells: dict[str, str]) -> None:
    assert told(tritonserver_that_tells, "--http-port=8080", "--log-verbose=1")[-2:] == [
        "--http-port=8080",
        "--log-verbose=1",
    ]


@pytest.mark.parametrize("key", ["short", "with a space in between", "two-lines-are-too\nmany-for-one", "k=v:" * 8])
def test_a_key_that_triton_would_misread_is_refused(
    key: str, tritonserver_that_tells: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(key)
    environment = tritonserver_that_tells | {"CAMSERVE_ADMIN_KEY_FILE": str(tmp_path / "key")}
    result = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "admin key" in result.stderr
    assert key not in result.stderr


@pytest.mark.parametrize("deed", CLOSED)
def test_without_the_key_nothing_of_the_operators_can_be_done(deed: str, container_server: Any) -> None:
    with InferenceServerClient(container_server.grpc) as client, pytest.raises(InferenceServerException) as refused:
        CLOSED[deed](client, {})
    assert "restricted" in refused.value.message()


def test_with_the_key_the_repository_is_open(container_server: Any) -> None:
    with InferenceServerClient(container_server.grpc) as client:
        (model,) = client.get_model_repository_index(headers={HEADER: KEY}).models
    assert (model.name, model.state) == ("toy", "READY")


def test_http_is_closed_too(container_server: Any) -> None:
    request = urllib.request.Request(f"http://{container_server.http}/v2/repository/index", method="POST", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403


def test_without_a_key_nobody_is_let_in_and_the_end_is_clean(keyless_server: Any) -> None:
    with InferenceServerClient(keyless_server.grpc) as client:
        assert client.is_model_ready("toy")
        for key in ("", KEY):
            with pytest.raises(InferenceServerException, match="restricted"):
                client.get_model_repository_index(headers={HEADER: key})
    assert keyless_server.process.stop(30) == 0
