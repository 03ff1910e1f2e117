"""The container's start script: the flags that it passes to Triton, and their effect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.process_usage import children, command
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

SCRIPT = Path(__file__).parents[2] / "docker" / "start-server.sh"
HEADER = "triton-grpc-protocol-camserve-admin-key"
KEY = "a-key-for-these-tests"
RESTRICTED: dict[str, Callable[[Any, dict[str, str]], Any]] = {
    "list the repository": lambda client, headers: client.get_model_repository_index(headers=headers),
    "unload a model": lambda client, headers: client.unload_model("no-such-model", headers=headers),
    "register shared memory": lambda client, headers: client.register_system_shared_memory(
        "region", "/region", 16, headers=headers
    ),
    "change the trace": lambda client, headers: client.update_trace_settings(settings={}, headers=headers),
    "change the log": lambda client, headers: client.update_log_settings(settings={}, headers=headers),
}


@pytest.fixture
def recording_tritonserver(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `tritonserver` prints its arguments."""
    program = tmp_path / "tritonserver"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CAMSERVE_ADMIN_KEY_FILE": "/dev/null"}


def start(environment: dict[str, str], *arguments: str) -> list[str]:
    result = subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=True)
    flags: list[str] = json.loads(result.stdout)
    return flags


def test_flags_restrict_what_clients_can_do(recording_tritonserver: dict[str, str]) -> None:
    flags = start(recording_tritonserver)
    assert {
        "--model-repository=/models",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--disable-auto-complete-config",
        "--allow-client-shm=false",
        "--exit-on-error=true",
        "--exit-timeout-secs=30",
    } <= set(flags)
    assert not [flag for flag in flags if "poll" in flag or flag.startswith(("--cache", "--repository-poll"))]


def test_each_start_without_a_key_uses_another_random_key(recording_tritonserver: dict[str, str]) -> None:
    keys = [flag for _ in range(2) for flag in start(recording_tritonserver) if "restricted" in flag]
    assert len(keys) == 4
    assert keys[0].partition(":")[2] == keys[1].partition(":")[2]
    assert keys[1] != keys[3]


def test_arguments_of_the_container_come_last(recording_tritonserver: dict[str, str]) -> None:
    assert start(recording_tritonserver, "--http-port=8080", "--log-verbose=1")[-2:] == [
        "--http-port=8080",
        "--log-verbose=1",
    ]


@pytest.mark.parametrize("key", ["short", "with a space in between", "two-lines-are-too\nmany-for-one", "k=v:" * 8])
def test_an_invalid_key_is_rejected(key: str, recording_tritonserver: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key)
    environment = recording_tritonserver | {"CAMSERVE_ADMIN_KEY_FILE": str(tmp_path / "key")}
    result = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "admin key" in result.stderr
    assert key not in result.stderr


@pytest.mark.parametrize("operation", RESTRICTED)
def test_restricted_operations_require_the_key(operation: str, container_server: Any) -> None:
    with InferenceServerClient(container_server.grpc) as client, pytest.raises(InferenceServerException) as caught:
        RESTRICTED[operation](client, {})
    assert "restricted" in caught.value.message()


def test_the_key_allows_access_to_the_repository(container_server: Any) -> None:
    with InferenceServerClient(container_server.grpc) as client:
        (model,) = client.get_model_repository_index(headers={HEADER: KEY}).models
    assert (model.name, model.state) == ("toy", "READY")


def test_restricted_operations_require_the_key_over_http(container_server: Any) -> None:
    request = urllib.request.Request(f"http://{container_server.http}/v2/repository/index", method="POST", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 403


def test_without_a_key_access_is_denied_and_the_exit_code_is_0(keyless_server: Any) -> None:
    with InferenceServerClient(keyless_server.grpc) as client:
        assert client.is_model_ready("toy")
        for key in ("", KEY):
            with pytest.raises(InferenceServerException, match="restricted"):
                client.get_model_repository_index(headers={HEADER: key})
    assert keyless_server.process.stop(30) == 0


def test_the_container_ends_if_the_process_of_a_model_dies(impatient_server: Any) -> None:
    (process,) = [each for each in children(impatient_server.process.pid) if command(each)[0].endswith("_stub")]
    os.kill(process, signal.SIGSEGV)
    assert impatient_server.process.wait() == 1
    assert f"error: the process of a model has died (PID {process})" in impatient_server.log.read_text()
