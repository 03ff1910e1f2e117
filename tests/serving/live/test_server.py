"""Administration of a running server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.certificates import Authority
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, toy_images

from camserve.bundle import Bundle
from camserve.errors import ServerError, UsageError
from camserve.serving import TritonServer
from camserve.serving.live.backend_messages import Execution
from camserve.serving.live.server import LiveServer, LiveVersion
from camserve.serving.server.server_tls import Tls
from camserve.tls import ClientTls

pytestmark = pytest.mark.slow

KEY = "a-key-of-more-than-16-characters"


def test_index_and_inference_of_a_running_server(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    images = toy_images(toy_bundle, 3)
    with LiveServer(toy_server.grpc_url) as live:
        assert live.served() == {"toy": (1,)}
        assert [(each.model, each.version, each.state) for each in live.index()] == [("toy", 1, "READY")]
        live.wait_ready("toy", 1)
        answers = live.infer("toy", 1, toy_bundle.contract, images)
        assert live.config("toy").name == "toy"
        assert live.execution("toy", 1, toy_bundle.contract) == Execution("CPU")
    for name, expected in expected_outputs(toy_bundle, images).items():
        np.testing.assert_allclose(answers[name], expected, atol=1e-4)


def test_loading_without_explicit_mode_fails_with_a_hint(toy_server: TritonServer) -> None:
    with LiveServer(toy_server.grpc_url) as live:
        for act in (live.check_control, lambda: live.load("toy"), lambda: live.unload("toy")):
            with pytest.raises(ServerError, match="--model-control explicit"):
                act()


def test_unknown_models_and_versions_are_reported(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    with LiveServer(toy_server.grpc_url) as live:
        with pytest.raises(ServerError, match=r"does not know version 2 of toy.*this repository"):
            live.wait_ready("toy", 2)
        with pytest.raises(ServerError, match="cannot run none"):
            live.infer("none", 1, toy_bundle.contract, toy_images(toy_bundle))
        assert live.execution("none", 1, toy_bundle.contract) == Execution()


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost:8001", "localhost:grpc", "localhost:8001/", "::1"])
def test_an_invalid_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        LiveServer(url)


def test_an_ipv6_address_is_valid() -> None:
    with LiveServer("[::1]:1", timeout=2) as live, pytest.raises(ServerError, match="no answer"):
        live.index()


def test_a_missing_server_is_reported() -> None:
    with (
        LiveServer("127.0.0.1:1", timeout=2) as live,
        pytest.raises(ServerError, match=r"no answer.*Check that it is running"),
    ):
        live.index()


def test_a_restricted_server_requires_its_key(toy_repository: Path) -> None:
    with DisposableServer(toy_repository, model_control="explicit", admin_key=KEY) as server:
        for wrong in (None, "another-key-of-16-characters"):
            with LiveServer(server.grpc_url, admin_key=wrong) as live:
                with pytest.raises(ServerError, match=r"without the correct admin key.*--admin-key-file"):
                    live.check_control()
                with pytest.raises(ServerError, match=r"without the correct admin key.*CAMSERVE_ADMIN_KEY") as caught:
                    live.index()
                assert KEY not in str(caught.value)
        with LiveServer(server.grpc_url, admin_key=KEY) as live:
            live.check_control()
            live.unload("toy")
            assert live.index() == (LiveVersion("toy", 1, "UNAVAILABLE", "unloaded"),)
            live.load("toy")
            assert live.served() == {"toy": (1,)}
            with pytest.raises(ServerError, match=r"cannot load none: .*failed to poll from model repository"):
                live.load("none")


def test_a_server_without_tls_is_refused_by_a_tls_client(toy_server: TritonServer) -> None:
    with (
        LiveServer(toy_server.grpc_url, tls=ClientTls(), timeout=3) as live,
        pytest.raises(ServerError, match="no answer from the server"),
    ):
        live.index()


def test_an_encrypted_server_requires_the_client_certificate(toy_repository: Path, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "authority"), Authority(tmp_path / "stranger")
    own, client = authority.issue("server"), authority.issue("client")
    tls = Tls(certificate=own.certificate, key=own.key, client_ca=authority.certificate)
    correct = ClientTls(ca=authority.certificate, certificate=client.certificate, key=client.key)
    with DisposableServer(toy_repository, model_control="explicit", tls=tls) as server:
        with LiveServer(server.grpc_url, tls=correct) as live:
            live.check_control()
            assert live.served() == {"toy": (1,)}
        for wrong in (None, ClientTls(ca=authority.certificate), replace(correct, ca=stranger.certificate)):
            with (
                LiveServer(server.grpc_url, tls=wrong, timeout=3) as live,
                pytest.raises(ServerError, match="no answer from the server"),
            ):
                live.index()


def test_a_missing_certificate_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the TLS CA .*ca\.pem.*: No such file"):
        LiveServer("127.0.0.1:1", tls=ClientTls(ca=tmp_path / "ca.pem"))
