"""How `camserve classify` and `camserve score` connect: with TLS, with a token, to several servers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from support.certificates import Authority
from support.command_line import call, run
from support.disposable_server import DisposableServer

from camserve.serving import TritonServer
from camserve.serving.server.server_tls import Tls

pytestmark = pytest.mark.slow

TOKEN = "ey.secret-of-the-test"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "cat.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


class RefusingServer(grpc.GenericRpcHandler):
    """Refuse every call, and record the authorization header of each."""

    def __init__(self) -> None:
        self.authorizations: list[str | bytes | None] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        self.authorizations.append(dict(details.invocation_metadata or ()).get("authorization"))
        return grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
        )


@pytest.fixture
def refusing_server() -> Iterator[tuple[RefusingServer, str]]:
    handler = RefusingServer()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize(
    ("command", "source"),
    [("classify", "file"), ("classify", "environment"), ("score", "file and environment"), ("score", "neither")],
)
def test_the_token_is_sent_and_never_printed(
    image: Path, refusing_server: tuple[RefusingServer, str], tmp_path: Path, command: str, source: str
) -> None:
    handler, url = refusing_server
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    options: list[str | Path] = ["--token-file", file] if "file" in source else []
    options += ["--output", tmp_path / "table.csv"] if command == "score" else []
    environment = {"CAMSERVE_TOKEN": "another" if "file" in source else TOKEN} if "environment" in source else {}
    result = run("--debug", command, image, "--model", "toy", "--url", url, *options, environment=environment)
    assert result.returncode == 1
    assert set(handler.authorizations) == {None if source == "neither" else f"Bearer {TOKEN}"}
    assert TOKEN not in result.stdout + result.stderr
    assert url in result.stderr


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff\xfe", "not text")]
)
def test_a_token_file_without_a_token_is_wrong_usage(
    image: Path, tmp_path: Path, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    result = call("classify", image, "--model", "toy", "--token-file", file)
    assert result.returncode == 2
    assert expected in result.stderr
    assert str(file) in result.stderr


def test_a_token_is_not_sent_in_plain_text_to_another_host(image: Path) -> None:
    where = ("--model", "toy", "--url", "triton.example.org:8001")
    result = run("classify", image, *where, environment={"CAMSERVE_TOKEN": TOKEN})
    assert result.returncode == 2
    assert "unencrypted" in result.stderr
    assert TOKEN not in result.stderr


def test_a_server_that_requires_client_certificates_is_reached(
    image: Path, toy_repository: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    client, its = authority.issue("client"), authority.issue("server")
    ca = ("--tls-ca", authority.certificate)
    pair = ("--tls-certificate", client.certificate, "--tls-key", client.key)
    tls = Tls(certificate=its.certificate, key=its.key, client_ca=authority.certificate)
    with DisposableServer(toy_repository, tls=tls) as server:
        where = ("--model", "toy", "--url", server.grpc_url, "--timeout", "5")
        result = call("classify", image, *where, *ca, *pair)
        assert result.returncode == 0, result.stderr
        table = tmp_path / "table.csv"
        assert call("score", image, *where, *ca, *pair, "--output", table).returncode == 0
        for missing in ((), ca):
            assert call("classify", image, *where, *missing).returncode == 1
    result = call("classify", image, *where, "--tls-key", client.key)
    assert result.returncode == 2
    assert "certificate" in result.stderr


def test_one_of_several_servers_may_be_down(image: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    with socket.socket() as away:
        away.bind(("127.0.0.1", 0))
        urls = f"127.0.0.1:{away.getsockname()[1]},{toy_server.grpc_url}"
        result = call("classify", *[image] * 20, "--model", "toy", "--url", urls, "--json")
        assert result.returncode == 0, result.stderr
        assert len(json.loads(result.stdout)) == 20
        table = tmp_path / "table.csv"
        result = call("score", *[image] * 20, "--model", "toy", "--url", urls, "--output", table, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["errors"] == 0
