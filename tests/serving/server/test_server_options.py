"""Options of the embedded server."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

from camserve.errors import UsageError
from camserve.serving.server.server_options import ServerOptions, read_admin_key
from camserve.serving.server.server_tls import Tls

KEY = "a-key-of-sixteen-letters"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> Tls:
    pair = authority.issue("server")
    return Tls(certificate=pair.certificate, key=pair.key)


def test_the_defaults_are_restrictive() -> None:
    options = ServerOptions()
    assert set(options.hosts.values()) == {"127.0.0.1"}
    assert (options.model_control, options.allow_shared_memory, options.admin_key) == ("none", False, None)


def test_http_with_tls_is_off_or_on_the_loopback(tls: Tls) -> None:
    assert ServerOptions(host="0.0.0.0", tls=tls).hosts == {"gRPC": "0.0.0.0", "metrics": "0.0.0.0"}
    enabled = ServerOptions(host="0.0.0.0", tls=tls, http=True)
    assert enabled.hosts == {"HTTP": "127.0.0.1", "gRPC": "0.0.0.0", "metrics": "0.0.0.0"}
    assert ServerOptions(host="0.0.0.0").hosts["HTTP"] == "0.0.0.0"


def test_only_enabled_services_have_ports() -> None:
    options = ServerOptions(http=False, grpc_port=1, metrics_port=2)
    assert options.ports == {"gRPC": 1, "metrics": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_control": "poll"}, "unknown model_control 'poll'.*none, explicit"),
        ({"log_format": "json"}, "unknown log_format 'json'"),
        ({"http": False, "http_port": 8000}, "http_port is set, but HTTP is disabled"),
        ({"http": False, "http_threads": 2}, "http_threads is set, but HTTP is disabled"),
        ({"metrics": False, "metrics_port": 8002}, "metrics_port is set, but the metrics are disabled"),
        ({"models": ("toy",)}, "only in explicit mode"),
        ({"models": ()}, "only in explicit mode"),
        ({"model_control": "explicit", "host": "0.0.0.0"}, r"anyone who can reach 0\.0\.0\.0 could load models"),
        ({"model_control": "explicit", "host": "10.0.0.7"}, "CAMSERVE_ADMIN_KEY"),
        ({"drain_seconds": -1}, "drain_seconds must be from 0"),
        ({"http_threads": 0}, "http_threads must be from 1"),
        ({"start_timeout": -1.0}, "start_timeout must be from 0"),
        ({"response_cache_bytes": -1}, "response_cache_bytes must be from 0"),
    ],
)
def test_conflicts_and_values_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ServerOptions(**settings)


def test_log_that_cannot_be_read_again_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    refused = {pipe: "is a named pipe", tmp_path / "link": "is a named pipe", tmp_path: "is a folder"}
    for log, problem in refused.items():
        with pytest.raises(UsageError, match=problem):
            ServerOptions(log=log)
    with pytest.raises(UsageError, match="does not exist") as raised:
        ServerOptions(log=tmp_path / "no such" / "log")
    assert raised.value.hint == f"Create it: mkdir -p '{tmp_path}/no such'"
    assert ServerOptions(log=tmp_path / "log").log == tmp_path / "log"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_explicit_mode_needs_no_key_on_the_loopback(host: str) -> None:
    assert ServerOptions(model_control="explicit", host=host).admin_key is None


def test_explicit_mode_with_a_key_may_listen_anywhere() -> None:
    assert ServerOptions(model_control="explicit", host="0.0.0.0", admin_key=KEY).host == "0.0.0.0"


@pytest.mark.parametrize(
    "key", ["", "short", "with a blank in it", "comma,and:colon=equals", "x" * 257, "schlüssel" * 2]
)
def test_an_invalid_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="16 to 256") as caught:
        ServerOptions(admin_key=key)
    assert not key or key not in str(caught.value)


def test_a_key_is_never_shown() -> None:
    assert KEY not in repr(ServerOptions(admin_key=KEY))


def test_the_key_file_takes_precedence_over_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert read_admin_key(tmp_path / "key", "another") == KEY
    assert read_admin_key(None, "another") == "another"
    assert read_admin_key(None, None) is None
    assert read_admin_key(None, "") is None
    with pytest.raises(UsageError, match=r"cannot read the admin key from .*nothing: No such file"):
        read_admin_key(tmp_path / "nothing", KEY)
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="it is not UTF-8 text"):
        read_admin_key(tmp_path / "key", None)


def test_a_certificate_without_its_own_key_is_refused(authority: Authority, tmp_path: Path) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    assert Tls(certificate=one.certificate, key=one.key, client_ca=authority.certificate).client_ca is not None
    with pytest.raises(UsageError, match="does not work with the key"):
        Tls(certificate=one.certificate, key=other.key)
    with pytest.raises(UsageError, match=r"cannot read the TLS key .*: No such file"):
        Tls(certificate=one.certificate, key=tmp_path / "none.key")
    with pytest.raises(UsageError, match="contains no certificate"):
        Tls(certificate=one.certificate, key=one.key, client_ca=one.key)
