"""TLS: accepted connections, and the errors of all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from support.certificates import Authority, Pair
from support.python_models import echo_request, write_python_models
from support.scripted_server import Context, ScriptedServer, logits
from support.transports import TransportClass, deadline, toy_request

from camserve.errors import ConnectionFailedError, UsageError
from camserve.serving import TritonServer
from camserve.serving.server.server_tls import Tls
from camserve.tls import ClientTls

TOKEN = "a-token"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("client")


@pytest.fixture(scope="module")
def mutual(authority: Authority, pair: Pair) -> ClientTls:
    return ClientTls(ca=authority.certificate, certificate=pair.certificate, key=pair.key)


@pytest.fixture(scope="module")
def triton(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A Triton that requires client certificates."""
    own = authority.issue("server")
    tls = Tls(certificate=own.certificate, key=own.key, client_ca=authority.certificate)
    server = TritonServer(write_python_models(tmp_path_factory.mktemp("tls") / "repository", instances=1), tls=tls)
    server.start()
    yield server
    server.stop(grace=0.0)


def refusal(transport: TransportClass, url: str, tls: ClientTls | None) -> str:
    """Return the error of a client that cannot connect."""
    with transport(url, tls=tls) as client, pytest.raises(ConnectionFailedError, match=url) as caught:
        client.describe("echo", deadline=deadline(5))
    return f"{caught.value}"


def test_client_of_a_trusted_authority_is_accepted(
    transport: TransportClass, triton: TritonServer, mutual: ClientTls
) -> None:
    with transport(triton.grpc_url, tls=mutual, token=TOKEN) as client:
        assert client.describe("echo", deadline=deadline()).version == "1"


@pytest.mark.parametrize("who", ["without a certificate", "of another authority", "expired"])
def test_untrusted_client_error_mentions_certificates(
    transport: TransportClass, triton: TritonServer, authority: Authority, stranger: Authority, who: str
) -> None:
    tls = ClientTls(ca=authority.certificate)
    if who != "without a certificate":
        own = stranger.issue("client") if who == "of another authority" else authority.issue("late", days=-1)
        tls = replace(tls, certificate=own.certificate, key=own.key)
    assert "may require a client certificate" in refusal(transport, triton.grpc_url, tls)


def test_unencrypted_call_to_a_tls_server_mentions_tls(transport: TransportClass, triton: TritonServer) -> None:
    assert "it may require TLS" in refusal(transport, triton.grpc_url, None)


def test_tls_call_to_an_unencrypted_server_is_reported(
    transport: TransportClass, toy_server: TritonServer, authority: Authority
) -> None:
    assert "does not use TLS" in refusal(transport, toy_server.grpc_url, ClientTls(ca=authority.certificate))


@pytest.mark.parametrize("ca", ["another", "the default"])
def test_server_of_an_untrusted_authority_is_refused(
    transport: TransportClass, triton: TritonServer, stranger: Authority, mutual: ClientTls, ca: str
) -> None:
    tls = ClientTls(
        ca=stranger.certificate if ca == "another" else None, certificate=mutual.certificate, key=mutual.key
    )
    assert "not signed by a trusted authority" in refusal(transport, triton.grpc_url, tls)


def test_expired_server_certificate_is_refused(transport: TransportClass, authority: Authority) -> None:
    with ScriptedServer(pair=authority.issue("expired", days=-1)) as server:
        message = refusal(transport, server.url, ClientTls(ca=authority.certificate))
    assert "the server's certificate has expired" in message


def test_server_with_another_host_name_is_refused(transport: TransportClass, authority: Authority) -> None:
    with ScriptedServer(host="127.0.0.2", pair=authority.issue("server")) as server:
        message = refusal(transport, server.url, ClientTls(ca=authority.certificate))
    assert "is for another host name" in message


def test_certificate_failure_is_not_retried(
    transport: TransportClass, authority: Authority, stranger: Authority
) -> None:
    with (
        ScriptedServer(pair=authority.issue("server")) as server,
        transport(server.url, tls=ClientTls(ca=stranger.certificate)) as client,
        pytest.raises(ConnectionFailedError) as caught,
    ):
        client.infer(toy_request(), deadline=deadline(20))
    assert "attempts" not in caught.value.message


def test_invalid_tls_files_are_refused_before_any_call(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    other = authority.issue("other")
    (tmp_path / "none.pem").write_text("nothing")
    for tls, why in (
        ({"ca": tmp_path / "gone.pem"}, r"cannot read the TLS CA .*gone\.pem.*: No such file"),
        ({"ca": tmp_path / "none.pem"}, "contains no certificate"),
        ({"certificate": pair.certificate, "key": other.key}, "does not work with the key"),
        ({"certificate": pair.certificate}, "the TLS key is missing"),
        ({"key": pair.key}, "the TLS certificate is missing"),
    ):
        with pytest.raises(UsageError, match=why):
            ClientTls(**tls)


def test_hundred_megabytes_pass_with_any_options(
    transport: TransportClass, triton: TritonServer, mutual: ClientTls
) -> None:
    values = np.tile(np.arange(1000, dtype=np.float32), 26_300)
    assert values.nbytes > 100 * 2**20
    with transport(triton.grpc_url, tls=mutual, token=TOKEN, headers={"x-key": "k"}, retries=5) as client:
        reply = client.infer(echo_request(values), deadline=deadline(60))
    np.testing.assert_array_equal(reply.tensors["taken"], values)
    assert reply.size > values.nbytes


def test_hundred_megabytes_are_sent_again_after_a_failure(transport: TransportClass, authority: Authority) -> None:
    sizes = []

    def answer(message: bytes, context: Context) -> bytes:
        sizes.append(len(message))
        if len(sizes) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return logits()

    images = np.zeros((26, 1024, 1024), np.float32)
    with (
        ScriptedServer(answer, pair=authority.issue("server")) as server,
        transport(server.url, tls=ClientTls(ca=authority.certificate), token=TOKEN) as client,
    ):
        assert client.infer(toy_request(images), deadline=deadline(60)).attempts == 2
    assert len(sizes) == 2
    assert min(sizes) > images.nbytes > 100_000_000
