"""Which names a request may address the page by, and which origins it may have."""

from __future__ import annotations

from email.message import Message

import pytest

from camserve.view import ViewOptions
from camserve.view.same_origin import is_own_host, is_same_origin, own_names

LOCAL, OPEN = own_names(ViewOptions()), own_names(ViewOptions(host="gpu1.example"))


@pytest.mark.parametrize(
    "header", ["127.0.0.1", "127.0.0.1:8003", "localhost:8003", "LOCALHOST", "[::1]:8003", "192.168.1.7:8003"]
)
def test_addresses_and_names_of_this_host_are_accepted(header: str) -> None:
    assert is_own_host(header, LOCAL)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "attacker.example:8003",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "127.0.0.1@attacker.example",
        "attacker.example/127.0.0.1",
        "[localhost]",
        "[::1",
        "localhost:8003:8003",
        "localhost:port",
        "gpu1.example",
        "١٢٧.0.0.1",
    ],
)
def test_other_names_are_refused(header: str | None) -> None:
    assert not is_own_host(header, LOCAL)


def test_the_name_that_was_opened_is_accepted() -> None:
    assert is_own_host("GPU1.example:8003", OPEN)
    assert not is_own_host("gpu2.example:8003", OPEN)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8003"}, True),
        ({"Origin": "http://127.0.0.1:8003", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://127.0.0.1:9000"}, False),
        ({"Origin": "http://localhost:8003"}, False),
        ({"Origin": "https://127.0.0.1:8003"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://127.0.0.1:8003", "Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_requests_of_other_origins_are_refused(headers: dict[str, str], expected: bool) -> None:
    message = Message()
    for name, value in {"Host": "127.0.0.1:8003", **headers}.items():
        message[name] = value
    assert is_same_origin(message) is expected
