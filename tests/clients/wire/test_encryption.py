"""TLS: who is answered, and what the others are told."""

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
    """A Triton that asks clients for a certificate."""
    own = authority.issue("server")
    tls = Tls(certificate=own.certificate, key=own.key, client_ca=authority.certificate)
    server = TritonServer(write_python_models(tmp_path_factory.mktemp("tls") / "repository", instances=1), tls=tls)
    server.start()
    yield server
    server.stop(grace=0.0)


def refusal(transport: TransportClass, url: str, tls: ClientTls | None) -> str:
    """What a client is told that cannot connect, after one try."""
    with transport(url, tls=tls) as asking, pytest.raises(ConnectionFailedError, match=url) as caught:
        asking.describe("echo", deadline=deadline(5))
    return f"{caught.value}"


def test_a_client_of_the_right_authority_is_answered(
    transport: TransportClass, triton: TritonServer, mutual: ClientTls
) -> None:
    with transport(triton.grpc_url, tls=mutual, token=TOKEN) as asking:
        assert asking.describe("echo", deadline=deadline()).version == "1"


@pytest.mark.parametrize("who", ["without a certificate", "of another authority", "expired"])
def test_a_client_that_the_server_does_not_trust_is_told_of_certificates(
    transport: TransportClass, triton: TritonServer, authority: Authority, stranger: Authority, who: str
) -> None:
    tls = ClientTls(ca=authority.certificate)
    if who != "without a certificate":
        own = stranger.issue("client") if who == "of another authority" else authority.issue("late", days=-1)
        tls = replace(tls, certificate=own.certificate, key=own.key)
    assert "may require a client certificate" in refusal(transport, triton.grpc_url, tls)


def test_plain_text_to_a_server_that_encrypts_is_told_of_tls(transport: TransportClass, triton: TritonServer) -> None:
    assert "it may require TLS" in refusal(transport, triton.grpc_url, None)


def test_tls_to_a_server_that_does_not_encrypt_is_told_so(
    transport: TransportClass, toy_server: TritonServer, authority: Authority
) -> None:
    assert "does not use TLS" in refusal(transport, toy_server.grpc_url, ClientTls(ca=authority.certificate))


@pytest.mark.parametrize("ca", ["another", "the default"])
def test_a_server_of_an_authority_that_is_not_trusted_is_refused(
    transport: TransportClass, triton: TritonServer, stranger: Authority, mutual: ClientTls, ca: str
) -> None:
    tls = ClientTls(
        ca=stranger.certificate if ca == "another" else None, certificate=mutual.certificate, key=mutual.key
    )
    assert "not signed by a trusted authority" in refusal(transport, triton.grpc_url, tls)


def test_an_expired_server_is_refused(transport: TransportClass, authority: Authority) -> None:
    with ScriptedServer(pair=authority.issue("expired", days=-1)) as server:
        told = refusal(transport, server.url, ClientTls(ca=authority.certificate))
    assert "the server's certificate has expired" in told


def test_a_server_of_another_name_is_refused(transport: TransportClass, authority: Authority) -> None:
    with ScriptedServer(host="127.0.0.2", pair=authority.issue("server")) as server:
        told = refusal(transport, server.url, ClientTls(ca=authority.certificate))
    assert "is for another host name" in told


def test_a_certificate_that_will_not_do_is_not_tried_again(
    transport: TransportClass, authority: Authority, stranger: Authority
) -> None:
    with (
        ScriptedServer(pair=authority.issue("server")) as server,
        transport(server.url, tls=ClientTls(ca=stranger.certificate)) as asking,
        pytest.raises(ConnectionFailedError) as caught,
    ):
        asking.infer(toy_request(), deadline=deadline(20))
    assert "attempts" not in caught.value.message


def test_files_that_will_not_do_are_refused_before_any_call(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    other = authority.issue("other")
    (tmp_path / "none.pem").write_text("nothing")
    for tls, why in (
        ({"ca": tmp_path / "gone.pem"}, r"cannot read the TLS ca .*gone\.pem.*: No such file"),
        ({"ca": tmp_path / "none.pem"}, "contains no certificate"),
        ({"certificate": pair.certificate, "key": other.key}, "does not work with the key"),
        ({"certificate": pair.certificate}, "the TLS key is missing"),
        ({"key": pair.key}, "the TLS certificate is missing"),
    ):
        with pytest.raises(UsageError, match=why):
            ClientTls(**tls)


def test_whatever_else_is_set_a_hundred_megabytes_pass_both_ways(
    transport: TransportClass, triton: TritonServer, mutual: ClientTls
) -> None:
    values = np.tile(np.arange(1000, dtype=np.float32), 26_300)
    assert values.nbytes > 100 * 2**20
    with transport(triton.grpc_url, tls=mutual, token=TOKEN, headers={"x-key": "k"}, retries=5) as asking:
        reply = asking.infer(echo_request(values), deadline=deadline(60))
    np.testing.assert_array_equal(reply.tensors["taken"], values)
    assert reply.size > values.nbytes


def test_a_hundred_megabytes_are_sent_again_after_a_failure(transport: TransportClass, authority: Authority) -> None:
    sizes = []

    def answer(message: bytes, context: Context) -> bytes:
        sizes.append(len(message))
        if len(sizes) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return logits()

    images = np.zeros((26, 1024, 1024), np.float32)
    with (
        ScriptedServer(answer, pair=authority.issue("server")) as server,
        transport(server.url, tls=ClientTls(ca=authority.certificate), token=TOKEN) as asking,
    ):
        assert asking.infer(toy_request(images), deadline=deadline(60)).attempts == 2
    assert len(sizes) == 2
    assert min(sizes) > images.nbytes > 100_000_000
