"""The requests of the page, sent by a program: answers, refusals and limits."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image
from support.viewing import Answer, ask, open_page

from camserve.clients import Classifier, DecodeOptions
from camserve.errors import ConnectionFailedError, ServerError
from camserve.serving import TritonServer
from camserve.view import PageServer, ViewOptions

pytestmark = pytest.mark.slow

MAX_BYTES = 100_000


def encoded(size: tuple[int, int] = (40, 30), kind: str = "PNG", orientation: int | None = None) -> bytes:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    exif = image.getexif()
    if orientation is not None:
        exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif)
    return stream.getvalue()


@pytest.fixture(scope="module")
def page(toy_server: TritonServer) -> Iterator[PageServer]:
    options = ViewOptions(connections=8, reading_seconds=0.5)
    with open_page(toy_server.grpc_url, "toy", options=options, max_bytes=MAX_BYTES) as page:
        yield page


def error_of(answer: Answer) -> str:
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    error = answer.document["error"]
    assert error["hint"]
    assert "Traceback" not in answer.body.decode()
    return str(error["message"])


def test_the_page_allows_only_its_own_script_and_style(page: PageServer) -> None:
    answer = ask(page, "/")
    policy = dict(each.strip().partition(" ")[::2] for each in answer.headers["Content-Security-Policy"].split(";"))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert b"http://" not in answer.body
    assert b"https://" not in answer.body
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_model_and_its_versions_are_described(page: PageServer) -> None:
    assert ask(page, "/model").document == {"model": "toy", "versions": ["1"]}
    assert ask(page, "/version?version=1").document == {
        "version": "1",
        "labels": ["class 0", "class 1", "class 2", "class 3"],
        "percent": True,
        "maps": {"method": "linear", "all_classes": False},
    }


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_answer_is_that_of_the_client(page: PageServer, toy_server: TritonServer, kind: str) -> None:
    image = encoded(kind=kind)
    (answer,) = ask(page, "/classify?version=1", image).document["answers"]
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(image, cam=True)
    assert [(each["index"], each["probability"]) for each in answer["classes"]] == [
        (each.index, each.probability) for each in expected.top
    ]
    assert [each["index"] for each in answer["maps"]] == [each.index for each in expected.cams]
    for found, cam in zip(answer["maps"], expected.cams, strict=True):
        assert np.array_equal(np.array(found["grid"], np.float32), cam.grid)


@pytest.mark.parametrize(("exif", "original"), [(False, [30, 40]), (True, [40, 30])])
def test_the_image_is_shown_as_the_model_gets_it(toy_server: TritonServer, exif: bool, original: list[int]) -> None:
    with open_page(toy_server.grpc_url, "toy", exif=exif) as page:
        image = ask(page, "/classify?version=1", encoded(kind="JPEG", orientation=6)).document["image"]
    assert image["original"] == original
    shown = Image.open(io.BytesIO(base64.b64decode(image["source"].partition(",")[2])))
    assert shown.size == tuple(image["size"])
    assert (shown.width > shown.height) is exif
    assert shown.info == {}, "no metadata that a browser would apply"


def test_a_large_image_is_reduced_for_the_screen(toy_server: TritonServer) -> None:
    with open_page(toy_server.grpc_url, "toy") as page:
        image = ask(page, "/classify?version=1", encoded((3000, 1500))).document["image"]
    assert (image["original"], image["size"]) == ([1500, 3000], [512, 1024])


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/classify", 400, "one or two versions are required"),
        ("/classify?version=1&version=2&version=3", 400, "one or two versions are required"),
        ("/map?version=1", 400, "the number of a class is required"),
        ("/map?version=1&class=-1", 400, "the number of a class is required"),
        ("/map?version=1&class=7", 400, "model 'toy' has no class 7"),
        ("/map?version=../1&class=1", 400, "'../1' is not a version"),
        ("/map?version=9&class=1", 404, "model 'toy' has no version 9"),
        ("/other", 404, "POST /other is unknown"),
        ("/model", 404, "POST /model is unknown"),
        ("/classify?" + "&".join("abcdefghij"), 400, "there are too many parameters"),
    ],
)
def test_an_invalid_request_is_refused_as_json(page: PageServer, path: str, status: int, message: str) -> None:
    answer = ask(page, path, encoded())
    assert answer.status == status, answer
    assert message in error_of(answer)


def test_an_unknown_version_is_the_answer_beside_a_known_one(page: PageServer) -> None:
    first, second = ask(page, "/classify?version=1&version=9", encoded()).document["answers"]
    assert first["classes"]
    assert "model 'toy' has no version 9" in second["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"no image", encoded()[:200]])
def test_what_is_no_image_is_refused(page: PageServer, body: bytes) -> None:
    answer = ask(page, "/classify?version=1", body)
    assert answer.status == 422
    assert f"the image of {len(body)} bytes" in error_of(answer)


def test_a_body_over_the_limit_is_refused_before_it_is_read(page: PageServer) -> None:
    answer = ask(page, "/classify?version=1", b"x" * (MAX_BYTES + 1))
    assert answer.status == 422
    assert f"has more than {MAX_BYTES:,} bytes" in error_of(answer)
    huge = ask(page, "/classify?version=1", b"x", {"Content-Length": str(10**15)})
    assert "has more than" in error_of(huge)


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "-1"}, {"Content-Length": "1e3"}, {"Transfer-Encoding": "chunked"}]
)
def test_a_body_of_unknown_length_is_refused(page: PageServer, headers: dict[str, str]) -> None:
    answer = ask(page, "/classify?version=1", b"x", headers)
    assert answer.status == 411
    assert error_of(answer) == "the length of the image is unknown"


def test_another_name_of_this_host_is_refused(page: PageServer) -> None:
    for path in ("/", "/model"):
        answer = ask(page, path, headers={"Host": "attacker.example"})
        assert answer.status == 421
        assert "attacker.example" in error_of(answer)
    assert ask(page, "/", headers={"Host": "localhost"}).status == 200


@pytest.mark.parametrize("headers", [{"Origin": "http://attacker.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_request_of_another_site_is_refused(page: PageServer, headers: dict[str, str]) -> None:
    answer = ask(page, "/classify?version=1", encoded(), headers)
    assert (answer.status, error_of(answer)) == (403, "the request was made by a page of another site")
    assert ask(page, "/model", headers=headers).status == 403
    assert ask(page, "/", headers={"Sec-Fetch-Site": "cross-site"}).status == 200, "a link to the page works"


@pytest.mark.parametrize(
    "request_",
    [
        b"PUT / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /" + b"x" * 70_000,
        b"GET http://[/model HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /model HTTP/1.1\r\n\r\n",
    ],
)
def test_invalid_http_is_answered_with_json(page: PageServer, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'{"error": {"type": "' in received
    assert b"<html" not in received


def test_a_connection_that_sends_slowly_is_closed(page: PageServer) -> None:
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
        connection.sendall(b"POST /classify?version=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        began = time.monotonic()
        assert connection.recv(1) == b""
    assert time.monotonic() - began < 5
    assert ask(page, "/model").status == 200


def test_connections_over_the_limit_are_refused(page: PageServer) -> None:
    with ExitStack() as stack:
        for _ in range(page.options.connections):
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=10))
        time.sleep(0.2)
        answer = ask(page, "/model")
        assert (answer.status, answer.document["error"]["message"]) == (503, "too many connections at once")
    for _ in range(100):
        time.sleep(0.02)
        if ask(page, "/model").status == 200:
            return
    raise AssertionError("closed connections still count")


def test_images_at_once_wait_for_each_other(page: PageServer) -> None:
    statuses: list[int] = []
    image = encoded()
    threads = [
        threading.Thread(target=lambda: statuses.append(ask(page, "/classify?version=1", image).status))
        for _ in range(page.options.connections - 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(threads)


def test_a_used_port_is_an_error_with_the_option(page: PageServer) -> None:
    port = page.port
    with pytest.raises(ServerError, match=f"the HTTP port {port} on 127.0.0.1 is already in use") as caught:
        PageServer(page.versions, ViewOptions(port=port), DecodeOptions())
    assert "--port 0" in str(caught.value.hint)


def test_an_unreachable_server_is_an_error_at_the_start() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionFailedError), open_page(f"127.0.0.1:{unused.getsockname()[1]}", "toy"):
            pass
