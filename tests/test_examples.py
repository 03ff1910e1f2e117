"""The examples run as documented, against a real Triton."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from PIL import Image
from support.disposable_server import DisposableServer
from tritonclient.grpc import model_config_pb2

from camserve.bundle import ONNX_NAME, Bundle
from camserve.clients import Classifier
from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
CLIENT_PAGE = ROOT / "docs" / "client.md"
TIMEOUT = 60


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    return path


def command(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-u", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]


def run(name: str, *arguments: str | Path) -> str:
    """Run an example and return its output."""
    result = subprocess.run(command(name, *arguments), capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_every_example_starts_with_a_summary_and_its_command() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert len(files) == 5
    for file in files:
        summary, blank, usage, *_ = file.read_text(encoding="utf-8").split("\n")
        assert summary.startswith('"""'), file.name
        assert blank == "", file.name
        assert usage.startswith(f"    python examples/{file.name} "), file.name


def test_one_image_prints_classes_and_draws_the_map(photo: Path, toy_server: TritonServer, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    output = run("one_image", photo, "--url", toy_server.grpc_url, "--model", "toy", "--out", out)
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(photo, cam=True)
    lines = [f"  {prediction.probability:7.2%}  {prediction.label}" for prediction in expected.top]
    assert output.splitlines()[1 : 1 + len(lines)] == lines
    assert f"map peak at {expected.cams[0].peak}, bounding box {expected.cams[0].bbox()}" in output
    with Image.open(out) as drawn:
        assert drawn.convert("RGB") == expected.cams[0].overlay(photo).convert("RGB")


def test_classify_stream_classifies_every_image_in_constant_memory(toy_server: TritonServer) -> None:
    output = run("classify_stream", "--url", toy_server.grpc_url, "--model", "toy", "--count", "1000")
    assert "1,000 images in " in output
    assert ", 0 failed" in output
    counts = [int(line.split()[0].replace(",", "")) for line in output.splitlines() if "  class " in line]
    assert sum(counts) == 1000
    growth = re.search(r"Memory growth after the first tenth: (-?[\d.]+) MB", output)
    assert growth is not None
    assert float(growth[1]) < 8


def test_classify_stream_continues_after_an_invalid_image(
    photo: Path, toy_server: TritonServer, tmp_path: Path
) -> None:
    for name in ("a.png", "c.png"):
        shutil.copy(photo, tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no image")
    words = command("classify_stream", "--url", toy_server.grpc_url, "--model", "toy", "--folder", tmp_path)
    result = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.returncode == 0
    assert result.stderr.startswith("image 2: ")
    assert "3 images in " in result.stdout
    assert ", 1 failed" in result.stdout
    assert "Memory" not in result.stdout


def test_two_servers_loses_no_request_when_one_server_stops(
    photo: Path, toy_server: TritonServer, toy_repository: Path
) -> None:
    count = 2500
    with DisposableServer(toy_repository) as other:
        both = sorted([toy_server.grpc_url, other.grpc_url])
        words = command("two_servers", photo, "--url", ",".join(both), "--model", "toy", "--count", str(count))
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            first = program.stdout.readline()
            other.stop(grace=0)
            output, errors = program.communicate(timeout=TIMEOUT)
    assert first.endswith(f": {' and '.join(both)}\n")
    assert program.returncode == 0, errors
    assert output.splitlines()[0].endswith(f": {toy_server.grpc_url}")
    assert output.endswith(f"{count:,} of {count:,} requests succeeded\n")


@pytest.fixture(scope="module")
def plain_server(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A Triton that serves the toy model under other tensor names and without a contract."""
    folder = tmp_path_factory.mktemp("plain") / "repository" / "my_model"
    (folder / "1").mkdir(parents=True)
    model = onnx.load(toy_bundle.path / ONNX_NAME)
    del model.graph.output[1:], model.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output]:
        value.name = {"image": "input_1", "probabilities": "predictions"}[value.name]
    for node in model.graph.node:
        node.input[:] = ["input_1" if name == "image" else name for name in node.input]
        node.output[:] = ["predictions" if name == "probabilities" else name for name in node.output]
    onnx.save(model, folder / "1" / ONNX_NAME)
    config = model_config_pb2.ModelConfig(name="my_model", backend="onnxruntime", max_batch_size=4)
    config.input.add(name="input_1", data_type=model_config_pb2.TYPE_FP32, dims=[8, 8, 3])
    config.output.add(name="predictions", data_type=model_config_pb2.TYPE_FP32, dims=[4])
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    with DisposableServer(folder.parent) as server:
        yield server


def test_plain_model_predicts_what_the_published_model_predicts(
    photo: Path, plain_server: TritonServer, toy_server: TritonServer, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("ant\nbee\ncat\ndog\n")
    options = ("--url", plain_server.grpc_url, "--labels", labels, "--side", "8", "--preprocessing", "unit")
    output = run("plain_model", photo, *options)
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(photo, top=3)
    names = labels.read_text().split()
    assert output.splitlines() == [
        f"{prediction.probability:7.2%}  {names[prediction.index]}" for prediction in expected.top
    ]


def test_the_documented_snippet_for_a_plain_model_runs(
    photo: Path, plain_server: TritonServer, toy_server: TritonServer, tmp_path: Path
) -> None:
    """Run the snippet of docs/client.md with the address, name, size and preprocessing of the toy model."""
    chapter = CLIENT_PAGE.read_text(encoding="utf-8").partition("\n## A model without a contract\n")[2]
    code = chapter.partition("```python\n")[2].partition("```")[0]
    replacements = {
        "localhost:8001": plain_server.grpc_url,
        '"plain"': '"my_model"',
        "(224, 224, 3)": "(8, 8, 3)",
        "caffe": "unit",
    }
    for documented, actual in replacements.items():
        assert documented in code
        code = code.replace(documented, actual)
    shutil.copy(photo, tmp_path / "cat.jpg")
    words = [sys.executable, "-c", code]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.stderr == ""
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        best = classifier.classify(photo).top[0]
    assert result.stdout == f"{['ant', 'bee', 'cat', 'dog'][best.index]}\n"


@contextmanager
def run_web_handler(server: TritonServer, *options: str) -> Iterator[str]:
    """Run the web handler and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command("web_handler", "--url", server.grpc_url, "--model", "toy", "--port", str(port), *options)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        try:
            assert program.stdout is not None
            line = program.stdout.readline()
            assert "Running on" in line, line + program.stdout.read()
            yield f"http://127.0.0.1:{port}"
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(timeout=TIMEOUT)
    assert program.returncode == 0


def post(url: str, body: bytes) -> tuple[int, str]:
    return fetch(urllib.request.Request(url, data=body, method="POST"))


def fetch(request: urllib.request.Request | str) -> tuple[int, str]:
    """Return the status and the body of an HTTP response."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_web_handler_classifies_images_and_reports_errors(photo: Path, toy_server: TritonServer) -> None:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = classifier.classify(photo)
    image = photo.read_bytes()
    with run_web_handler(toy_server) as url, ThreadPoolExecutor(8) as pool:
        for status, text in pool.map(lambda _: post(f"{url}/classify", image), range(32)):
            assert status == 200
            top = json.loads(text)["top"]
            assert [(each["label"], each["probability"]) for each in top] == [
                (prediction.label, prediction.probability) for prediction in expected.top
            ]
        for invalid in (b"", b"no image", image[: len(image) // 2]):
            status, text = post(f"{url}/classify", invalid)
            assert status == 400
            assert json.loads(text)["error"]
        assert post(f"{url}/classify", bytes(17 * 1024 * 1024))[0] == 413
        assert fetch(f"{url}/classify")[0] == 405
        assert fetch(f"{url}/health") == (200, '{"ready": true}')
        assert post(f"{url}/classify", image)[0] == 200


@pytest.mark.timed
def test_web_handler_reports_a_stopped_model_server(photo: Path, toy_repository: Path) -> None:
    with DisposableServer(toy_repository) as server, run_web_handler(server, "--timeout", "2") as url:
        assert post(f"{url}/classify", photo.read_bytes())[0] == 200
        address = server.grpc_url
        server.stop(grace=0)
        start = time.monotonic()
        status, text = post(f"{url}/classify", photo.read_bytes())
        assert time.monotonic() - start < 5
        assert status in (503, 504)
        assert address not in text
        assert fetch(f"{url}/health") == (503, '{"ready": false}')
