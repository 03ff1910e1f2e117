"""What each path of the page answers, and to whom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, urlsplit

from camserve.errors import CamserveError, UsageError
from camserve.text import shortened
from camserve.view.answers import classify, describe_version, map_of_class
from camserve.view.json_handler import JsonHandler, RefusedError
from camserve.view.same_origin import is_own_host, is_same_origin

if TYPE_CHECKING:
    from camserve.view.server import PageServer

__all__ = ["Handler"]

_log = logging.getLogger("camserve.view")
_MOST_VERSIONS = 2


class Handler(JsonHandler):
    """Answers one request of the page."""

    server: PageServer

    def do_GET(self) -> None:  # noqa: N802  (the name that the base class calls it by)
        """Answer with the page, or what it needs to know about the model."""
        self._answer({"/": self._page, "/model": self._model, "/version": self._describe})

    def do_POST(self) -> None:  # noqa: N802
        """Answer with the classes and maps of an image."""
        self._answer({"/classify": self._classify, "/map": self._map})

    def _answer(self, paths: Mapping[str, Callable[[], None]]) -> None:
        """Call the function of the path, which sends an answer, or send why it failed."""
        try:
            self._check_origin()
            path = self._url.path
            if path not in paths:
                raise RefusedError(HTTPStatus.NOT_FOUND, f"{self.command} {shortened(path)} is unknown", "Open /")
            paths[path]()
        except CamserveError as error:
            self.send_failure(error)
        except OSError:
            raise  # the connection is lost
        except Exception as error:  # noqa: BLE001  whatever it is, the page shows it
            kind = type(error).__name__
            _log.error("%s %s: unexpected %s: %s", self.command, shortened(self.path), kind, error)
            self.send_failure(CamserveError(f"unexpected {kind}: {error}", hint="Report it with this message"))

    def _page(self) -> None:
        page = self.server.page
        self.send_content("text/html; charset=utf-8", page.body, headers={"Content-Security-Policy": page.policy})

    def _model(self) -> None:
        versions = self.server.versions
        self.send_json({"model": versions.model, "versions": versions.ready()})

    def _describe(self) -> None:
        self.send_json(describe_version(self.server.versions, self._version))

    def _classify(self) -> None:
        chosen = list(dict.fromkeys(self._query.get("version", ())))
        if not 0 < len(chosen) <= _MOST_VERSIONS:
            raise UsageError("one or two versions are required", hint="Pass for example ?version=1")
        with self.server.classifying():
            answer = classify(self.server.versions, chosen, self._read_image(), self.server.decode_options)
        self.send_json(answer)

    def _map(self) -> None:
        class_ = self._query.get("class", [""])[0]
        if not (class_.isascii() and class_.isdecimal() and len(class_) < 10):
            raise UsageError("the number of a class is required", hint="Pass for example &class=1")
        with self.server.classifying():
            answer = map_of_class(self.server.versions, self._version, int(class_), self._read_image())
        self.send_json(answer)

    def _read_image(self) -> bytes:
        data = self.read_body(self.server.decode_options.max_bytes)
        self.server.finished_reading(self.connection)
        return data

    @cached_property
    def _url(self) -> SplitResult:
        try:
            return urlsplit(self.path)
        except ValueError:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the address is invalid", "Open /") from None

    @cached_property
    def _query(self) -> dict[str, list[str]]:
        try:
            return parse_qs(self._url.query, max_num_fields=8)
        except ValueError:
            raise UsageError("there are too many parameters", hint="Pass for example ?version=1") from None

    @property
    def _version(self) -> str:
        return self._query.get("version", [""])[0]

    def _check_origin(self) -> None:
        """Refuse requests that a page of another site makes through the user's browser."""
        host = self.headers.get("Host")
        if not is_own_host(host, self.server.names):
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"the page is not served under the name {shortened(host or '')!r}",
                "Open it by an IP address of its host, or by the name that --host states",
            )
        if self._url.path != "/" and not is_same_origin(self.headers):
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "the request was made by a page of another site", f"Open {self.server.url}"
            )
