"""The examples for other languages run as documented, against a real Triton; a missing program is skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.browser import CHROMIUM, open_browser
from support.disposable_server import DisposableServer
from support.image_files import draw, save

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.serving import TritonServer, publish

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples" / "image_files"
TIMEOUT = 120
PROGRAMS = {
    "node": ["node", str(EXAMPLES / "classify.mjs")],
    "java": ["java", str(EXAMPLES / "Classify.java")],
    "go": ["go", "run", str(EXAMPLES / "classify.go")],
}


@pytest.fixture(scope="module")
def server(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("examples") / "repository"
    publish(toy_bundle, repository, options={"image_files": True})
    with DisposableServer(repository) as server:
        yield server


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    path.write_bytes(save(draw("RGB", (80, 60)), "JPEG"))
    return path


@pytest.fixture
def expected(server: TritonServer, photo: Path) -> list[tuple[str, float]]:
    with Classifier(server.grpc_url, "toy") as classifier:
        return [(each.label, each.probability) for each in classifier.classify(photo, top=3).top]


def _run(language: str, server: TritonServer, file: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(language) is None:
        pytest.skip(f"{language} is not installed")
    command = [*PROGRAMS[language], f"http://{server.http_url}", "toy", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("language", PROGRAMS)
def test_program_prints_the_best_classes(
    language: str, server: TritonServer, photo: Path, expected: list[tuple[str, float]]
) -> None:
    result = _run(language, server, photo)
    assert (result.returncode, result.stderr) == (0, "")
    if language == "java":
        answer = json.loads(result.stdout)
        assert list(zip(answer["label"], answer["probability"], strict=True)) == expected
    else:
        assert result.stdout.splitlines() == [f"{100 * value:6.2f}%  {label}" for label, value in expected]


@pytest.mark.parametrize("language", PROGRAMS)
def test_program_reports_an_error(language: str, server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    result = _run(language, server, tmp_path / "bad.jpg")
    assert result.returncode == 1
    assert "bad.jpg: " in result.stderr
    assert "is not an image of a supported format" in result.stderr


@contextmanager
def _one_origin(server: TritonServer) -> Iterator[str]:
    """Serve the page and Triton from one origin, as a reverse proxy does."""

    class Proxy(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(EXAMPLES))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                with urllib.request.urlopen(f"http://{server.http_url}{self.path}", body, TIMEOUT) as response:
                    status, answer = response.status, response.read()
            except urllib.error.HTTPError as error:
                status, answer = error.code, error.read()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_page_shows_classes_and_map(
    server: TritonServer, photo: Path, expected: list[tuple[str, float]], tmp_path: Path
) -> None:
    with _one_origin(server) as address, open_browser(tmp_path / "profile") as browser:
        tab = browser.tab()
        tab.visit(f"{address}/page.html?model=toy")
        tab.choose_file("input", photo)
        tab.wait("document.querySelectorAll('li').length === 3 && document.querySelector('img').naturalWidth > 0")
        assert tab.texts("li") == [f"{label}: {100 * value:.2f} %" for label, value in expected]
        (tmp_path / "bad.jpg").write_bytes(b"no image")
        tab.choose_file("input", tmp_path / "bad.jpg")
        tab.wait("document.querySelector('[role=alert]').textContent.includes('is not an image')")
        assert tab.texts("li") == []
