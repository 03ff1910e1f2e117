from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camserve.clients import AsyncClassifier, CAMExplainer, Classifier, Crops, DecodeOptions, Pixels, find_images, score
from camserve.errors import UsageError
from camserve.serving import TritonServer

GRAY = np.zeros((9, 11), np.uint8)
SECRET = b"swordfish"


@pytest.fixture
def classifier(toy_server: TritonServer) -> Iterator[Classifier]:
    with Classifier(toy_server.grpc_url, "toy") as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", None),
        ("url", 8001),
        ("url", [8001]),
        ("model", None),
        ("version", None),
        ("version", "newest"),
        ("version", 1.0),
        ("timeout", None),
        ("timeout", "5"),
        ("timeout", True),
        ("connect_timeout", "5"),
        ("retries", 2.5),
        ("retries", "3"),
        ("tls", True),
        ("tls", "ca.pem"),
        ("token", SECRET),
        ("headers", [("x-key", "value")]),
        ("headers", {"x-key": SECRET}),
        ("shared_memory", "yes"),
        ("decode_options", True),
        ("metrics", True),
        ("contract", {"name": "toy"}),
        ("labels", "labels.txt"),
        ("labels", [0, 1, 2, 3]),
        ("labels", 4),
        ("labels", {"a": 0, "b": 2}),
        ("labels", Path("labels.txt")),
        ("names", ["image"]),
        ("names", {"image": 1}),
    ],
)
@pytest.mark.parametrize("kind", [Classifier, AsyncClassifier])
def test_wrong_argument_type_is_reported_by_name_without_value(
    kind: type[Classifier | AsyncClassifier], name: str, value: object
) -> None:
    arguments: dict[str, Any] = {"url": "localhost:8001", "model": "toy", name: value}
    with pytest.raises(UsageError, match=name) as caught:
        kind(**arguments)
    assert caught.value.hint
    assert SECRET.decode() not in str(caught.value)


def test_version_may_be_an_integer(toy_server: TritonServer) -> None:
    with Classifier(toy_server.grpc_url, "toy", version=1) as classifier:
        assert classifier.classify(GRAY).version == "1"
        assert repr(classifier) == f"Classifier('{toy_server.grpc_url}', 'toy')"


@pytest.mark.parametrize(
    "call",
    [
        lambda it: it.classify(GRAY, top="5"),
        lambda it: it.classify(GRAY, top=2.5),
        lambda it: it.classify(GRAY, top=True),
        lambda it: it.classify(GRAY, cam="class 1"),
        lambda it: it.classify(GRAY, class_=0),
        lambda it: it.classify(GRAY, cam=True, class_=1.0),
        lambda it: it.classify_many([], class_="class 1"),
        lambda it: it.classify_many([], cam=True, class_=True),
        lambda it: it.classify(GRAY, timings=1),
        lambda it: it.classify(GRAY, crops=5),
        lambda it: it.classify_many([], concurrency="8"),
        lambda it: it.classify_many([], window_bytes=0.5),
        lambda it: it.cam(GRAY, 1.0),
        lambda it: it.cam(GRAY, True),
        lambda it: it.cam(GRAY, it.classify(GRAY).top[0]),
        lambda it: it.infer(it.prepare(GRAY)[np.newaxis], "logits"),
        lambda it: it.infer(it.prepare(GRAY)[np.newaxis], []),
        lambda it: it.infer(it.prepare(GRAY)[np.newaxis], None),
        lambda it: it.cam(GRAY).bbox(None),
        lambda it: it.cam(GRAY).overlay(alpha="0.5"),
        lambda it: it.cam(GRAY).overlay(size=224),
        lambda it: it.cam(GRAY).upsample((8, 8, 3)),
        lambda it: it.cam(GRAY).upsample((8.5, 8)),
        lambda it: CAMExplainer(it).fit(GRAY).plot(columns="3"),  # type: ignore[arg-type]
        lambda _: CAMExplainer("localhost:8001"),  # type: ignore[arg-type]
        lambda _: Crops(count="3"),  # type: ignore[arg-type]
        lambda _: Crops(seed=None),  # type: ignore[arg-type]
        lambda _: DecodeOptions(max_pixels=None),  # type: ignore[arg-type]
        lambda _: DecodeOptions(exif="yes"),  # type: ignore[arg-type]
        lambda _: Pixels(Image.new("P", (9, 9)), "gray"),  # type: ignore[arg-type]
    ],
)
def test_wrong_type_in_a_call_is_a_usage_error(classifier: Classifier, call: Callable[[Any], object]) -> None:
    with pytest.raises(UsageError) as caught:
        call(classifier)
    assert caught.value.hint


@pytest.mark.parametrize(
    "alone",
    ["cat.jpg", Path("cat.jpg"), b"cat", BytesIO(), Image.new("RGB", (9, 9)), Pixels(GRAY, "gray"), GRAY, None],
    ids=lambda alone: type(alone).__name__,
)
def test_single_image_is_not_accepted_as_several(toy_server: TritonServer, classifier: Classifier, alone: Any) -> None:
    with pytest.raises(UsageError, match=r"images must be several|invalid type for images") as caught:
        classifier.classify_many(alone)
    assert "list" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"images must be several|invalid type for images"):
        AsyncClassifier(toy_server.grpc_url, "toy").classify_many(alone)


@pytest.mark.parametrize("path", ["photos", Path("photos")], ids=repr)
def test_single_path_is_not_accepted_as_several(classifier: Classifier, path: Any) -> None:
    for listed in (lambda: next(find_images(path)), lambda: score(classifier, path)):
        with pytest.raises(UsageError, match="must be a list of paths, got the path photos"):
            listed()


def test_closed_classifier_starts_no_stream(toy_server: TritonServer) -> None:
    closed = Classifier(toy_server.grpc_url, "toy")
    closed.close()
    for begin in (closed.__enter__, lambda: closed.classify_many([GRAY])):
        with pytest.raises(UsageError, match="'toy' is closed"):
            begin()
