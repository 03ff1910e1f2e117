"""Addresses, deadlines and credentials."""

from __future__ import annotations

import time
from typing import Any

import pytest

from camserve.clients.wire.channel_settings import settings
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline, check_token_protected, parse_urls
from camserve.errors import UsageError
from camserve.tls import ClientTls

SECRET = "s3cr3t-value"


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["timeout", "connect_timeout"])
def test_timeouts_must_be_positive_and_finite(name: str, timeout: float) -> None:
    values: dict[str, Any] = {name: timeout}
    with pytest.raises(UsageError, match=rf"^{name} must be (positive|finite), got"):
        ConnectionOptions(**values)
    with pytest.raises(UsageError, match="timeout must be"):
        Deadline(timeout)


def test_deadline_counts_down_to_zero() -> None:
    deadline = Deadline(0.5)
    before, had_expired = deadline.remaining(), deadline.expired
    time.sleep(0.51)
    assert 0 < before <= 0.5
    assert (had_expired, deadline.expired) == (False, True)
    assert (deadline.remaining(), deadline.seconds) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"retries": 6}, "from 0 to 5"),
        ({"retries": -1}, "from 0 to 5"),
        ({"compression": "zip"}, "unknown compression 'zip'"),
        ({"token": ""}, "token is empty"),
        ({"headers": {"X-Key": "a"}}, "invalid header name 'X-Key'"),
        ({"headers": {"authorization": "a"}}, "invalid header name 'authorization'"),
        ({"headers": {"grpc-timeout": "a"}}, "invalid header name 'grpc-timeout'"),
        ({"headers": {"key-bin": "a"}}, "invalid header name 'key-bin'"),
        ({"headers": {"key": ""}}, "header 'key' is empty"),
    ],
)
def test_invalid_options_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ConnectionOptions(**values)


@pytest.mark.parametrize("bad", ["\n", "\0", " ", "é", "\x7f"])
def test_invalid_secret_is_not_in_the_error(bad: str) -> None:
    refused: list[dict[str, Any]] = [{"token": SECRET + bad}, {"headers": {"key": SECRET + bad}}]
    for values in refused:
        with pytest.raises(UsageError, match="invalid") as caught:
            ConnectionOptions(**values)
        assert SECRET not in str(caught.value)


def test_repr_contains_no_secret() -> None:
    options = ConnectionOptions(token=SECRET, headers={"key": SECRET})
    assert SECRET not in repr(options)
    assert dict(options.metadata) == {"key": SECRET, "authorization": f"Bearer {SECRET}"}


def test_headers_are_copied() -> None:
    headers = {"key": "a"}
    options = ConnectionOptions(headers=headers)
    headers["key"] = "b\n"
    assert options.metadata == (("key", "a"),)


@pytest.mark.parametrize("url", ["triton:8001", "10.0.0.1:8001", "[::2]:8001", "dns:///triton:8001", "127.evil.com:80"])
def test_token_requires_tls_over_a_network(url: str) -> None:
    options = ConnectionOptions(token=SECRET)
    with pytest.raises(UsageError, match="unencrypted") as caught:
        check_token_protected(("localhost:8001", url), options)
    assert SECRET not in str(caught.value)
    check_token_protected((url,), ConnectionOptions(token=SECRET, tls=ClientTls()))
    check_token_protected((url,), ConnectionOptions())


@pytest.mark.parametrize(
    "url",
    ["localhost:1", "127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "unix:/run/t", "ipv4:127.0.0.1:1", "dns:///localhost:1"],
)
def test_token_may_be_sent_to_this_host(url: str) -> None:
    check_token_protected((url,), ConnectionOptions(token=SECRET))


def test_grpc_neither_retries_nor_limits_messages() -> None:
    for options in (ConnectionOptions(), ConnectionOptions(retries=0, tls=ClientTls(), compression="gzip")):
        found = dict(settings(options, "triton:8001"))
        assert found["grpc.enable_retries"] == 0
        assert found["grpc.max_send_message_length"] == found["grpc.max_receive_message_length"] == -1


def test_no_proxy_for_this_host() -> None:
    """A token may be sent unencrypted to this host; a proxy of the environment would read it."""
    options = ConnectionOptions(token=SECRET)
    for url, through in (("localhost:1", 0), ("dns:///127.0.0.1:1", 0), ("unix:/run/t", 0), ("triton:8001", 1)):
        assert dict(settings(options, url))["grpc.enable_http_proxy"] == through


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("a:1", ("a:1",)),
        ("a:1, b:2", ("a:1", "b:2")),
        (["a:1", " b:2 "], ("a:1", "b:2")),
        (("[::1]:8001", "unix:/run/t"), ("[::1]:8001", "unix:/run/t")),
    ],
)
def test_addresses_may_be_a_string_or_a_sequence(value: Any, urls: tuple[str, ...]) -> None:
    assert parse_urls(value) == urls


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost", "http://localhost:8001", "https://localhost:8001", "localhost:", "localhost:grpc"),
        *("a b:8001", "a:1,", ["a:1", ""]),
        *(f"localhost:{port}" for port in (0, 65_536, 99_999, 100_000)),
    ],
)
def test_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_urls(url)


@pytest.mark.parametrize("url", ["a:1,a:1", ["a:1", " a:1"]])
def test_duplicate_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="duplicate server address"):
        parse_urls(url)


def test_empty_address_list_is_refused() -> None:
    with pytest.raises(UsageError, match="no server address"):
        parse_urls([])
