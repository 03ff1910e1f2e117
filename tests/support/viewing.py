"""The page of `camserve view`, served in this process."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from camserve.clients import Classifier, DecodeOptions
from camserve.view import PageServer, Versions, ViewOptions

__all__ = ["Answer", "ask", "open_page"]


class Answer(NamedTuple):
    """An answer of the page's server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@contextmanager
def open_page(
    url: str, model: str, *, options: ViewOptions | None = None, timeout: float = 5.0, **decoding: Any
) -> Iterator[PageServer]:
    """Serve the page of a model on a free port."""
    decode_options = DecodeOptions(**decoding)

    def connect(version: str) -> Classifier:
        return Classifier(url, model, version=version, timeout=timeout, decode_options=decode_options)

    with Versions(connect) as versions, PageServer(versions, options or ViewOptions(), decode_options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: PageServer, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a request as a program that is no browser does: GET, or POST with a body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()
