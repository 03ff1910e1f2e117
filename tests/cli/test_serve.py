"""`camserve serve`, with the real server."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import run
from support.serve_process import ServeProcess, listening
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from camserve.bundle import Bundle
from camserve.serving import publish
from camserve.serving.server.environment import find_triton

pytestmark = pytest.mark.slow

KEY = "an-admin-key-of-these-tests"
KEY_METADATA = {"triton-grpc-protocol-camserve-admin-key": KEY}
_FIXED = "Triton is a copy with a fix for cancelled requests; --original-program disables it"
_SLOW_CONFIG = """
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""
_SLOW_MODEL = """
import time
import triton_python_backend_utils as utils

class TritonPythonModel:
    def initialize(self, args):
        time.sleep(1)

    def execute(self, requests):
        time.sleep(2)
        doubled = [utils.get_input_tensor_by_name(request, "x").as_numpy() * 2 for request in requests]
        return [utils.InferenceResponse([utils.Tensor("y", each)]) for each in doubled]
"""


@pytest.fixture(scope="module")
def served(toy_repository: Path) -> Iterator[ServeProcess]:
    """A server with default options, which tests must not stop."""
    with ServeProcess(toy_repository) as running:
        yield running


@pytest.fixture(scope="module")
def administered(toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServeProcess, Path]]:
    """A server with an admin key, shared memory and no HTTP, and its log."""
    log = tmp_path_factory.mktemp("administered") / "log"
    options = ("--model-control", "explicit", "--load-none", "--allow-shared-memory", "--no-http", "--no-metrics")
    written = ("--original-program", "--log", log, "--log-format", "iso8601", "--log-verbose", "1")
    with ServeProcess(toy_repository, *options, *written, environment={"CAMSERVE_ADMIN_KEY": KEY}) as running:
        yield running, log


@pytest.fixture
def slow_repository(tmp_path: Path) -> Path:
    """A repository whose model takes a second to load and two to answer with the double."""
    version = tmp_path / "repository" / "slow" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_SLOW_MODEL)
    (version.parent / "config.pbtxt").write_text(_SLOW_CONFIG)
    return tmp_path / "repository"


def _double(url: str, values: list[float]) -> list[float]:
    tensor = InferInput("x", [2], "FP32")
    tensor.set_data_from_numpy(np.array(values, np.float32))
    with InferenceServerClient(url) as client:
        doubled: list[float] = client.infer("slow", [tensor], client_timeout=30).as_numpy("y").tolist()
        return doubled


def _post(address: str, path: str, headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(f"http://{address}{path}", data=b"{}", headers=headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_default_command_of_triton_is_strict(served: ServeProcess) -> None:
    expected = {
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--exit-on-error=true",
        "--strict-readiness=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        *(f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")),
    }
    assert expected <= set(served.command)
    assert not [word for word in served.command if "poll" in word]


def test_the_original_program_runs_only_on_request(
    served: ServeProcess, administered: tuple[ServeProcess, Path]
) -> None:
    installed = str(find_triton().program)
    assert administered[0].command[0] == installed
    assert served.command[0] != installed


def test_the_server_listens_on_the_loopback_by_default(served: ServeProcess) -> None:
    ports = {int(served.ready[name].rstrip("/metrics").rpartition(":")[2]) for name in ("http", "grpc", "metrics")}
    assert {("127.0.0.1", port) for port in ports} <= listening(served.triton)
    assert {address for address, _ in listening(served.triton)} == {"127.0.0.1"}


def test_shared_memory_logs_and_traces_are_restricted_by_default(served: ServeProcess) -> None:
    with InferenceServerClient(served.ready["grpc"]) as client:
        assert client.is_server_ready()
        for call in (
            lambda: client.register_system_shared_memory("region", "/region", 64),
            client.get_system_shared_memory_status,
            lambda: client.update_log_settings({"log_info": False}),
            client.get_trace_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()
    for path in ("/v2/systemsharedmemory/region/r/register", "/v2/logging", "/v2/trace/setting"):
        assert _post(served.ready["http"], path) == 403
    assert _post(served.ready["http"], "/v2/repository/index") == 200


def test_clients_cannot_load_models_by_default(served: ServeProcess) -> None:
    with (
        InferenceServerClient(served.ready["grpc"]) as client,
        pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"),
    ):
        client.load_model("toy")


def test_shared_memory_can_be_allowed(administered: tuple[ServeProcess, Path]) -> None:
    region = Path("/dev/shm") / f"camserve-test-{os.getpid()}"
    region.write_bytes(bytes(64))
    try:
        with InferenceServerClient(administered[0].ready["grpc"]) as client:
            client.register_system_shared_memory("region", f"/{region.name}", 64)
            client.unregister_system_shared_memory("region")
    finally:
        region.unlink()


def test_loading_models_requires_the_admin_key(administered: tuple[ServeProcess, Path]) -> None:
    served, _ = administered
    assert served.ready["models"] == {}
    with InferenceServerClient(served.ready["grpc"]) as client:
        for headers in ({}, {**KEY_METADATA, "triton-grpc-protocol-camserve-admin-key": KEY + "x"}):
            for call in (client.load_model, client.unload_model):
                with pytest.raises(InferenceServerException, match="restricted"):
                    call("toy", headers=headers)
            with pytest.raises(InferenceServerException, match="restricted"):
                client.get_model_repository_index(headers=headers)
        client.load_model("toy", headers=KEY_METADATA)
        assert client.is_model_ready("toy")
        client.unload_model("toy", headers=KEY_METADATA)


def test_the_admin_key_is_neither_logged_nor_in_the_environment(administered: tuple[ServeProcess, Path]) -> None:
    served, log = administered
    assert "Started GRPCInferenceService" in log.read_text()
    assert log.read_text().splitlines()[1].startswith("20")  # dates are whole; the first line is camserve's
    assert KEY not in log.read_text()
    assert KEY.encode() not in Path(f"/proc/{served.triton}/environ").read_bytes()


def test_disabled_services_do_not_listen(administered: tuple[ServeProcess, Path]) -> None:
    served, _ = administered
    assert set(served.ready) == {"grpc", "models", "warnings"}
    assert listening(served.triton) == {("127.0.0.1", int(served.ready["grpc"].rpartition(":")[2]))}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_in_flight_is_answered_before_the_server_stops(slow_repository: Path, number: signal.Signals) -> None:
    without_http = ("--no-http", "--no-metrics") if number == signal.SIGINT else ()
    with ServeProcess(slow_repository, *without_http) as served, ThreadPoolExecutor() as pool:
        assert served.ready["models"] == {"slow": [1]}
        triton = served.triton
        request = pool.submit(_double, served.ready["grpc"], [1.0, 2.0])
        time.sleep(0.5)
        served.signal(number)
        assert request.result() == [2.0, 4.0]
        code, output = served.end()
        assert (code, output.splitlines()[-1]) == (0, "Stopped")
        assert not Path(f"/proc/{triton}").exists()


def test_a_request_lost_after_the_drain_is_an_error(slow_repository: Path) -> None:
    with ServeProcess(slow_repository, "--drain", "0") as served, ThreadPoolExecutor() as pool:
        request = pool.submit(_double, served.ready["grpc"], [1.0, 2.0])
        time.sleep(0.5)
        served.signal(signal.SIGTERM)
        code, output = served.end()
        assert code == 1
        assert "error: Triton ended with" in output
        assert "--drain" in output
        request.exception()


def test_the_exit_code_of_a_killed_server_is_returned(toy_repository: Path) -> None:
    with ServeProcess(toy_repository, "--no-restart") as served:
        os.kill(served.triton, signal.SIGKILL)
        code, output = served.end()
    assert code == 128 + signal.SIGKILL
    assert "error: Triton ended by signal SIGKILL; the end of its log:\n  " in output


def test_a_server_terminated_by_another_process_ends_with_0(toy_repository: Path) -> None:
    with ServeProcess(toy_repository) as served:
        os.kill(served.triton, signal.SIGTERM)
        code, output = served.end()
    assert code == 0
    assert output.splitlines() == ["Starting Triton", _FIXED, "Triton ended by itself with exit code 0"]


def test_an_occupied_port_is_named(served: ServeProcess, toy_repository: Path) -> None:
    port = served.ready["http"].rpartition(":")[2]
    result = run("serve", "--repository", toy_repository, "--http-port", port)
    assert result.returncode == 1
    assert port in result.stderr


def test_an_empty_repository_hints_at_publish(tmp_path: Path) -> None:
    result = run("serve", "--repository", tmp_path)
    assert result.returncode == 1
    assert "camserve publish" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--model-control", "poll"), "--model-control must be one of none, explicit, got 'poll'"),
        (("--log-format", "json"), "--log-format must be one of default, iso8601, got 'json'"),
        (("--load", "toy"), "Add --model-control explicit"),
        (("--load", "toy", "--load-none"), "--load conflicts with --load-none"),
        (("--host", "0.0.0.0", "--model-control", "explicit"), "CAMSERVE_ADMIN_KEY"),
        (("--tls-key", "key.pem"), "--tls-certificate"),
        (("--tls-client-ca", "ca.pem"), "--tls-client-ca requires TLS"),
        (("--no-http", "--http-port", "8000"), "http_port is set, but HTTP is disabled"),
        (("--admin-key-file", "/nowhere/key"), "/nowhere/key: No such file"),
    ],
)
def test_conflicting_options_are_wrong_usage(toy_repository: Path, arguments: tuple[str, ...], expected: str) -> None:
    result = run("serve", "--repository", toy_repository, *arguments)
    assert result.returncode == 2
    assert expected in result.stderr


def test_help_explains_why_poll_is_not_offered() -> None:
    assert "poll, is not offered" in " ".join(run("serve", "--help").stdout.split())


def test_a_failed_start_prints_the_end_of_the_log(toy_bundle: Bundle, tmp_path: Path) -> None:
    publication = publish(toy_bundle, tmp_path / "repository")
    (publication.path / "model.onnx").write_bytes(b"no graph")
    ports: list[Any] = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    log = tmp_path / "triton.log"
    result = run("serve", "--repository", tmp_path / "repository", *ports, "--log", log)
    assert result.returncode == 1
    _, error, *end, hint = result.stderr.splitlines()
    assert error.startswith("error: Triton cannot serve")
    assert error.endswith("the end of its log:")
    assert hint.startswith("hint: Publish a working version")
    assert 5 < len(end) <= 15
    assert all(line.startswith("  ") for line in end)
    written = log.read_text(encoding="utf-8")
    assert "failed to load 'toy'" in written
    assert end[-1].strip() in written
