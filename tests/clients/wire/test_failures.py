"""The diagnosis of failed calls: error and retry scope."""

from __future__ import annotations

import pytest

from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.failures import CallFailed, Operation, RetryScope, diagnose
from camserve.errors import CamserveError, ConnectionFailedError, DeadlineError, NotLoadedError, RequestError

CONNECTING = "failed to connect to all addresses; last error: "
HANDSHAKE = CONNECTING + "UNKNOWN: ipv4:1.2.3.4:1: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:"
VERIFY = HANDSHAKE + "1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: "


def failure(status: str, why: str, *, encrypted: bool = False) -> tuple[CamserveError, RetryScope]:
    subject = Operation("infer", "toy", "3", Deadline(30), encrypted=encrypted)
    found = diagnose(CallFailed(status, why), subject, "1.2.3.4:1")
    return found.error, found.retry


@pytest.mark.parametrize(
    ("status", "why", "kind", "scope"),
    [
        ("UNAVAILABLE", "Socket closed", ConnectionFailedError, RetryScope.ANYWHERE),
        ("UNAVAILABLE", "Exceeds maximum queue size", ConnectionFailedError, RetryScope.ANYWHERE),
        ("UNAVAILABLE", "Server is stopping", ConnectionFailedError, RetryScope.ANYWHERE),
        (
            "UNAVAILABLE",
            "Request for unknown model: 'toy' has no available versions",
            NotLoadedError,
            RetryScope.ELSEWHERE,
        ),
        ("UNAVAILABLE", "Request for unknown model: 'toy' is not ready", NotLoadedError, RetryScope.ELSEWHERE),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'a'", RequestError, RetryScope.NOWHERE),
        ("NOT_FOUND", "Request for unknown model: 'toy' is not found", NotLoadedError, RetryScope.ELSEWHERE),
        ("INVALID_ARGUMENT", "unexpected shape", RequestError, RetryScope.NOWHERE),
        ("INTERNAL", "onnx runtime error", RequestError, RetryScope.NOWHERE),
        ("INTERNAL", "Stub process 'toy_0_1' is not healthy.", RequestError, RetryScope.ANYWHERE),
        ("INTERNAL", "Failed to increase the shared memory pool size for key", RequestError, RetryScope.ANYWHERE),
        ("RESOURCE_EXHAUSTED", "too large", RequestError, RetryScope.NOWHERE),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineError, RetryScope.NOWHERE),
        ("UNIMPLEMENTED", "", ConnectionFailedError, RetryScope.ELSEWHERE),
    ],
)
def test_status_and_reason_determine_error_and_retry(status: str, why: str, kind: type, scope: RetryScope) -> None:
    error, found = failure(status, why)
    assert (type(error), found) == (kind, scope)
    assert "1.2.3.4:1" in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("why", "expected", "scope"),
    [
        (VERIFY + "certificate has expired", "the server's certificate has expired", RetryScope.ELSEWHERE),
        (VERIFY + "self-signed certificate", "not signed by a trusted authority", RetryScope.ELSEWHERE),
        (CONNECTING + "UNKNOWN: Hostname Verification Check failed.", "is for another host name", RetryScope.ELSEWHERE),
        (HANDSHAKE + "100000f7:SSL routines:WRONG_VERSION_NUMBER", "does not use TLS", RetryScope.ELSEWHERE),
        (HANDSHAKE + "10000410:SSL routines:ALERT_HANDSHAKE_FAILURE", "handshake failed", RetryScope.ELSEWHERE),
        (
            CONNECTING + "UNAVAILABLE: ipv4:1.2.3.4:1: Socket closed",
            "may require a client certificate",
            RetryScope.ANYWHERE,
        ),
    ],
)
def test_tls_failures_are_explained(why: str, expected: str, scope: RetryScope) -> None:
    error, found = failure("UNAVAILABLE", why, encrypted=True)
    assert (type(error), found) == (ConnectionFailedError, scope)
    assert expected in error.message
    assert "failed to connect to all addresses" not in error.message


def test_closed_unencrypted_connection_mentions_tls() -> None:
    error, scope = failure("UNAVAILABLE", CONNECTING + "UNAVAILABLE: ipv4:1.2.3.4:1: Socket closed")
    assert scope is RetryScope.ANYWHERE
    assert "it may require TLS" in error.message


def test_reply_of_a_proxy_is_recognized() -> None:
    error, _ = failure("UNIMPLEMENTED", "Received http2 header with status: 404")
    assert "http_proxy" in (error.hint or "")


def test_server_text_is_one_line() -> None:
    error, _ = failure("INVALID_ARGUMENT", "first\nsecond\r\n\x1b[31mthird\0")
    assert str(error).isprintable()
    assert "first second \\x1b[31mthird\\x00" in error.message


@pytest.mark.parametrize(
    ("why", "unreachable"),
    [
        (CONNECTING + "UNKNOWN: ipv4:1.2.3.4:1: Failed to connect to remote host: Connection refused", True),
        ("DNS resolution failed for triton:8001", True),
        ("errors resolving triton:8001: [field:hostname lookup error:address lookup failed for triton:8001]", True),
        ("Socket closed", False),
        ("Exceeds maximum queue size", False),
    ],
)
def test_request_is_not_sent_without_a_server_at_the_address(why: str, unreachable: bool) -> None:
    operation = Operation("infer", "toy", "3", Deadline(30), encrypted=False)
    assert diagnose(CallFailed("UNAVAILABLE", why), operation, "1.2.3.4:1").unreachable is unreachable
