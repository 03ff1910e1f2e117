"""Encrypted gRPC: accepted and refused clients."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.certificates import Authority, Pair
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, toy_images
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from camserve.bundle import Bundle
from camserve.errors import ServerError
from camserve.serving import TritonServer
from camserve.serving.server.server_tls import Tls

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def client_pair(authority: Authority) -> Pair:
    return authority.issue("client")


@pytest.fixture(scope="module")
def server(authority: Authority, toy_repository: Path) -> Iterator[TritonServer]:
    """A server that requires a client certificate."""
    pair = authority.issue("server")
    tls = Tls(certificate=pair.certificate, key=pair.key, client_ca=authority.certificate)
    with DisposableServer(toy_repository, tls=tls) as running:
        yield running


def _logits(url: str, images: Any, ca: Path | None, pair: Pair | None = None) -> Any:
    tensor = InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    certificates = {"root_certificates": ca and str(ca)}
    if pair is not None:
        certificates |= {"private_key": str(pair.key), "certificate_chain": str(pair.certificate)}
    with InferenceServerClient(url, ssl=ca is not None, **certificates) as client:
        return client.infer("toy", [tensor], client_timeout=30).as_numpy("logits")


def test_a_client_with_a_valid_certificate_is_answered(
    server: TritonServer, toy_bundle: Bundle, authority: Authority, client_pair: Pair
) -> None:
    images = toy_images(toy_bundle)
    logits = _logits(server.grpc_url, images, authority.certificate, client_pair)
    np.testing.assert_allclose(logits, expected_outputs(toy_bundle, images)["logits"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["without a certificate", "of another authority", "in plain text", "expired"])
def test_other_clients_are_refused(
    server: TritonServer, toy_bundle: Bundle, authority: Authority, tmp_path: Path, kind: str
) -> None:
    pair = {
        "of another authority": lambda: Authority(tmp_path / "other").issue("client"),
        "expired": lambda: authority.issue("late", days=-1),
    }.get(kind, lambda: None)()
    ca = None if kind == "in plain text" else authority.certificate
    with pytest.raises(InferenceServerException):
        _logits(server.grpc_url, toy_images(toy_bundle), ca, pair)


def test_a_client_refuses_a_server_of_another_authority(
    server: TritonServer, toy_bundle: Bundle, client_pair: Pair, tmp_path: Path
) -> None:
    with pytest.raises(InferenceServerException):
        _logits(server.grpc_url, toy_images(toy_bundle), Authority(tmp_path / "other").certificate, client_pair)


def test_only_metrics_are_served_without_encryption(server: TritonServer) -> None:
    assert set(server.addresses) == {"gRPC", "metrics"}
    with pytest.raises(ServerError, match="HTTP is not served"):
        _ = server.http_url


def test_served_versions_need_no_client_certificate(server: TritonServer) -> None:
    assert server.served() == {"toy": (1,)}


def test_a_client_refuses_an_expired_server(authority: Authority, toy_repository: Path, toy_bundle: Bundle) -> None:
    pair = authority.issue("expired", days=-1)
    tls = Tls(certificate=pair.certificate, key=pair.key)
    with DisposableServer(toy_repository, tls=tls, http=True) as server:
        assert server.http_url.startswith("127.0.0.1:")
        assert server.served() == {"toy": (1,)}
        with pytest.raises(InferenceServerException):
            _logits(server.grpc_url, toy_images(toy_bundle), authority.certificate)
