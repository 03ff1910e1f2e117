"""The command line of tritonserver."""

from pathlib import Path
from typing import Any

import pytest

from camserve.errors import ServerError
from camserve.serving.live.connection import CPU_SERVER
from camserve.serving.server.command import server_command
from camserve.serving.server.environment import TritonInstallation, find_triton
from camserve.serving.server.server_options import ServerOptions

PORTS = {"HTTP": ("127.0.0.1", 1), "gRPC": ("127.0.0.1", 2), "metrics": ("127.0.0.1", 3)}
KEY = "a-key-of-sixteen-letters"


class NewerTriton(TritonInstallation):
    """A Triton that supports every option."""

    def supports(self, flag: str) -> bool:
        return True


def _command(installation: TritonInstallation | None = None, **settings: Any) -> list[str]:
    options = ServerOptions(**settings)
    ports = {service: PORTS[service] for service in options.hosts}
    return server_command(
        installation or find_triton(),
        Path("repository"),
        Path("backends"),
        options=options,
        ports=ports,
        shared_memory_prefix="prefix",
    )


def _newer() -> NewerTriton:
    return NewerTriton(**vars(find_triton()))


def _restricted(command: list[str], protocol: str) -> str:
    (flag,) = (word for word in command if word.startswith(f"--{protocol}-restricted-"))
    return flag.partition("=")[2]


def test_each_service_has_an_address_and_port_or_is_off() -> None:
    command = _command(http=False)
    assert "--allow-http=false" in command
    assert {"--allow-grpc=true", "--grpc-address=127.0.0.1", "--grpc-port=2"} <= set(command)
    assert {"--allow-metrics=true", "--metrics-address=127.0.0.1", "--metrics-port=3"} <= set(command)
    assert not [word for word in command if word.startswith(("--http-address", "--http-restricted"))]


def test_selected_models_are_loaded() -> None:
    assert "--model-control-mode=none" in _command()
    assert "--load-model=*" in _command(model_control="explicit")
    chosen = _command(model_control="explicit", models=("a", "b"))
    assert [word for word in chosen if word.startswith("--load-model")] == ["--load-model=a", "--load-model=b"]
    assert not [word for word in _command(model_control="explicit", models=()) if word.startswith("--load-model")]


def test_a_server_for_the_cpu_has_its_own_name() -> None:
    assert f"--id={CPU_SERVER}" in _command(cpu=True)
    assert not [word for word in _command() if word.startswith("--id")]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_unneeded_protocols_are_disabled_without_a_key(protocol: str) -> None:
    names, _, header = _restricted(_command(), protocol).partition(":")
    assert set(names.split(",")) == {"shared-memory", "logging", "trace"}
    key = header.partition("=")[2]
    assert len(key) > 30
    assert _restricted(_command(), protocol).partition("=")[2] != key  # another in every run


def test_the_admin_key_does_not_enable_shared_memory() -> None:
    flags = [word.partition("=")[2] for word in _command(admin_key=KEY) if word.startswith("--grpc-restricted")]
    assert f"model-repository,logging,trace:camserve-admin-key={KEY}" in flags
    (other,) = (flag for flag in flags if KEY not in flag)
    assert other.startswith("shared-memory:")


def test_newer_tritons_have_an_option_for_shared_memory() -> None:
    assert "--allow-client-shm=false" in _command(_newer())
    assert "--allow-client-shm=true" in _command(_newer(), allow_shared_memory=True)
    assert "shared-memory" not in _restricted(_command(_newer()), "grpc")
    assert "shared-memory" not in _restricted(_command(allow_shared_memory=True), "grpc")


def test_threads_are_set_if_triton_supports_it() -> None:
    assert "--http-thread-count=3" in _command(http_threads=3)
    assert "--grpc-infer-thread-count=3" in _command(_newer(), grpc_threads=3)
    with pytest.raises(ServerError, match="does not support setting the number of gRPC threads"):
        _command(grpc_threads=3)


def test_log_cache_and_drain_options_are_passed_on() -> None:
    plain = set(_command())
    custom = _command(log_format="iso8601", log_verbose=2, response_cache_bytes=2**20, rate_limit=True, drain_seconds=5)
    assert "--exit-timeout-secs=5" in custom
    changed = {word for word in custom if word not in plain and "restricted" not in word}
    assert {word for word in changed if "cache-directory" not in word} == {
        "--exit-timeout-secs=5",
        "--log-format=ISO8601",
        "--log-verbose=2",
        "--cache-config=local,size=1048576",
        "--rate-limit=execution_count",
    }
