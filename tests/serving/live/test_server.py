"""A running server, asked and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.certificates import Authority
from support.toy import expected_outputs, toy_images

from camserve.bundle import Bundle
from camserve.errors import ServerError, UsageError
from camserve.serving import TritonServer
from camserve.serving.live.server import LiveServer
from camserve.serving.server.server_tls import Tls
from camserve.tls import ClientTls

KEY = "a-key-of-more-than-16-characters"


def test_it_says_what_it_serves_and_answers(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    images = toy_images(toy_bundle, 3)
    with LiveServer(toy_server.grpc_url) as live:
        assert live.served() == {"toy": (1,)}
        assert [(each.model, each.version, each.state) for each in live.index()] == [("toy", 1, "READY")]
        live.wait_ready("toy", 1)
        answers = live.ask("toy", 1, toy_bundle.contract, images)
        assert live.config("toy").name == "toy"
    for name, right in expected_outputs(toy_bundle, images).items():
        np.testing.assert_allclose(answers[name], right, atol=1e-4)


def test_a_server_that_does_not_load_on_request_says_how_it_would(toy_server: TritonServer) -> None:
    with LiveServer(toy_server.grpc_url) as live:
        for act in (live.check_control, lambda: live.load("toy"), lambda: live.unload("toy")):
            with pytest.raises(ServerError, match="--model-control explicit"):
                act()


def test_what_is_not_there_is_told(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    with LiveServer(toy_server.grpc_url) as live:
        with pytest.raises(ServerError, match=r"knows no version 2 of toy.*this repository"):
            live.wait_ready("toy", 2)
        with pytest.raises(ServerError, match="does not answer for none"):
            live.ask("none", 1, toy_bundle.contract, toy_images(toy_bundle))


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost:8001", "localhost:grpc", "localhost:8001/", "::1"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        LiveServer(url)


def test_an_address_of_ipv6_is_one() -> None:
    with LiveServer("[::1]:1", timeout=2) as live, pytest.raises(ServerError, match="no answer"):
        live.index()


def test_a_server_that_is_not_there_is_told() -> None:
    with LiveServer("127.0.0.1:1", timeout=2) as live, pytest.raises(ServerError, match=r"no answer.*Is it running"):
        live.index()


def test_a_restricted_server_wants_its_key(toy_repository: Path) -> None:
    with TritonServer(toy_repository, model_control="explicit", admin_key=KEY) as server:
        for wrong in (None, "another-key-of-16-characters"):
            with LiveServer(server.grpc_url, admin_key=wrong) as live:
                with pytest.raises(ServerError, match=r"without the right key.*--admin-key-file"):
                    live.check_control()
                with pytest.raises(ServerError, match=r"without the right key.*CAMSERVE_ADMIN_KEY") as told:
                    live.index()
                assert KEY not in str(told.value)
        with LiveServer(server.grpc_url, admin_key=KEY) as live:
            live.check_control()
            live.unload("toy")
            assert live.served() == {}
            live.load("toy")
            assert live.served() == {"toy": (1,)}
            with pytest.raises(ServerError, match=r"cannot load none: .*failed to poll from model repository"):
                live.load("none")


def test_a_plain_server_does_not_pass_for_an_encrypted_one(toy_server: TritonServer) -> None:
    with (
        LiveServer(toy_server.grpc_url, tls=ClientTls(), timeout=3) as live,
        pytest.raises(ServerError, match="no answer from the server"),
    ):
        live.index()


def test_an_encrypted_server_is_asked_and_told(toy_repository: Path, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "authority"), Authority(tmp_path / "stranger")
    own, client = authority.issue("server"), authority.issue("client")
    tls = Tls(certificate=own.certificate, key=own.key, client_ca=authority.certificate)
    right = ClientTls(ca=authority.certificate, certificate=client.certificate, key=client.key)
    with TritonServer(toy_repository, model_control="explicit", tls=tls) as server:
        with LiveServer(server.grpc_url, tls=right) as live:
            live.check_control()
            assert live.served() == {"toy": (1,)}
        for wrong in (None, ClientTls(ca=authority.certificate), replace(right, ca=stranger.certificate)):
            with (
                LiveServer(server.grpc_url, tls=wrong, timeout=3) as live,
                pytest.raises(ServerError, match="no answer from the server"),
            ):
                live.index()


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the TLS ca .*ca\.pem.* cannot be read: No such file"):
        LiveServer("127.0.0.1:1", tls=ClientTls(ca=tmp_path / "ca.pem"))
