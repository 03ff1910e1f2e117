"""Hot swaps to models with another contract, under running clients: no answer is read with the wrong contract."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.chaos import times
from support.disposable_server import DisposableServer
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import expected_outputs, toy_contract, write_toy_bundle

from camserve.bundle import Bundle
from camserve.clients import AsyncClassifier, Classification, Classifier, prepare
from camserve.clients.answers import known_versions
from camserve.errors import CamserveError, ContractError
from camserve.images.pixel_arrays import Pixels
from camserve.ranking import rank_classes
from camserve.serving import publish

SWAPS = max(4, times(40))
CLIENTS = 4
BETWEEN = 30
"""Correct answers that each kind of client receives before the next swap."""

IMAGE = Pixels(np.random.default_rng(5).integers(0, 256, (40, 50, 3), dtype=np.uint8), "rgb")
SHOWN = Image.fromarray(IMAGE.array)

CHANGES: list[dict[str, Any]] = [
    {"labels": ["ant", "bee", "cat", "dog"]},
    {"labels": ["dog", "cat", "bee", "ant"]},
    {"preset": "raw-rgb"},
    {"size": (12, 10)},
    {"classes": 5, "top_k": 2},
]


def bundles_that_break(folder: Path, count: int) -> list[Bundle]:
    """Return bundles that each have another contract, and other labels, than the one before."""
    return [write_toy_bundle(folder / str(i), seed=i, **CHANGES[i % len(CHANGES)]) for i in range(count)]


class Expected:
    """The answer of each version to the image, with its own preprocessing and labels."""

    def __init__(self, bundles: dict[int, Bundle]) -> None:
        self._top = {str(version): self._read(bundle) for version, bundle in bundles.items()}

    def is_right(self, result: Classification) -> bool:
        """Return whether the answer is that of its version."""
        expected = self._top.get(result.version, [])
        pairs = list(zip(result.top, expected, strict=False))
        return len(result.top) == len(expected) and all(
            found.label == label and abs(found.probability - probability) < 1e-4
            for found, (label, probability) in pairs
        )

    def _read(self, bundle: Bundle) -> list[tuple[str, float]]:
        expected = expected_outputs(bundle, prepare(SHOWN, bundle.contract)[np.newaxis])
        probabilities, order = expected["probabilities"][0], rank_classes(expected["logits"][0])
        return [(bundle.labels[index], float(probabilities[index])) for index in order]


class Tally:
    """The outcomes of all clients."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._lock = threading.Lock()
        self.right: Counter[str] = Counter()
        self.straddling = 0
        self.wrong: list[Classification] = []
        self.other: Counter[str] = Counter()
        self.twice = 0
        """Return the errors that occurred again in the next call of the same client."""

    def note(self, outcome: Classification | CamserveError, before: object) -> None:
        with self._lock:
            if isinstance(outcome, ContractError):
                self.straddling += 1
                self.twice += isinstance(before, ContractError)
            elif isinstance(outcome, CamserveError):
                self.other[str(outcome)] += 1
            elif self._expected.is_right(outcome):
                self.right[outcome.version] += 1
            else:
                self.wrong.append(outcome)


def send_in_threads(classifier: Classifier, tally: Tally, over: threading.Event) -> Iterator[threading.Thread]:
    def send() -> None:
        before: object = None
        while not over.is_set():
            outcome: Classification | CamserveError
            try:
                outcome = classifier.classify(IMAGE)
            except CamserveError as error:
                outcome = error
            tally.note(outcome, before)
            before = outcome

    return (threading.Thread(target=send) for _ in range(CLIENTS))


async def send_in_tasks(url: str, tally: Tally, over: threading.Event) -> None:
    async def send(classifier: AsyncClassifier) -> None:
        before: object = None
        while not over.is_set():
            outcome: Classification | CamserveError
            try:
                outcome = await classifier.classify(IMAGE)
            except CamserveError as error:
                outcome = error
            tally.note(outcome, before)
            before = outcome

    async with AsyncClassifier(url, "toy") as classifier:
        await asyncio.gather(*(send(classifier) for _ in range(CLIENTS)))


def swap_under_clients(folder: Path, bundles: list[Bundle], *, allow: bool) -> tuple[Tally, Tally]:
    """Publish one bundle after the other while threads and tasks send requests without pause."""
    expected = Expected(dict(enumerate(bundles, start=1)))
    tallies, over = (Tally(expected), Tally(expected)), threading.Event()
    publish(bundles[0], folder / "repository")
    with (
        DisposableServer(folder / "repository", model_control="explicit") as server,
        Classifier(server.grpc_url, "toy") as classifier,
    ):
        threads = [
            *send_in_threads(classifier, tallies[0], over),
            threading.Thread(target=lambda: asyncio.run(send_in_tasks(server.grpc_url, tallies[1], over))),
        ]
        for thread in threads:
            thread.start()
        try:
            wait_for(tallies, 1)
            for bundle in bundles[1:]:
                published = publish(bundle, folder / "repository", url=server.grpc_url, allow_contract_change=allow)
                wait_for(tallies, published.version)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return tallies


def wait_for(tallies: tuple[Tally, Tally], version: int) -> None:
    deadline = time.monotonic() + 60.0
    while any(tally.right[str(version)] < BETWEEN for tally in tallies):
        if time.monotonic() > deadline:
            raise TimeoutError(f"version {version}: {[(tally.right, tally.other, tally.wrong) for tally in tallies]}")
        time.sleep(0.01)


@pytest.mark.chaos
def test_no_answer_is_read_with_the_wrong_contract(tmp_path: Path) -> None:
    tallies = swap_under_clients(tmp_path, bundles_that_break(tmp_path / "bundles", SWAPS + 1), allow=True)
    for tally in tallies:
        assert tally.wrong == []
        assert not tally.other
        assert set(tally.right) == {str(version) for version in range(1, SWAPS + 2)}
        assert 0 < tally.straddling <= SWAPS * CLIENTS  # each client notices each swap at most once
        assert tally.twice == 0


@pytest.mark.chaos
def test_compatible_swaps_cause_no_error(tmp_path: Path) -> None:
    bundles = [write_toy_bundle(tmp_path / "bundles" / str(i), seed=i) for i in range(SWAPS)]
    with_more = write_toy_bundle(tmp_path / "more", seed=SWAPS, all_maps=True)  # a further output is compatible
    for tally in swap_under_clients(tmp_path, [*bundles, with_more], allow=False):
        assert (tally.wrong, tally.straddling, tally.twice) == ([], 0, 0)
        assert not tally.other


def test_answer_read_with_the_old_contract_is_detected(tmp_path: Path) -> None:
    bundles = bundles_that_break(tmp_path, 5)
    publish(bundles[0], tmp_path / "repository")
    with DisposableServer(tmp_path / "repository") as server, Classifier(server.grpc_url, "toy") as classifier:
        result = classifier.classify(IMAGE)
    assert Expected({1: bundles[0]}).is_right(result)
    assert not any(Expected({1: other}).is_right(result) for other in bundles[1:])


def test_classifier_has_the_new_contract_after_a_swap(tmp_path: Path) -> None:
    old, new = write_toy_bundle(tmp_path / "1"), write_toy_bundle(tmp_path / "2", size=(12, 10), labels=list("wxyz"))
    publish(old, tmp_path / "repository")
    with (
        DisposableServer(tmp_path / "repository", model_control="explicit") as server,
        Classifier(server.grpc_url, "toy") as classifier,
    ):
        batch = classifier.prepare(IMAGE)[np.newaxis]
        publish(new, tmp_path / "repository", url=server.grpc_url, allow_contract_change=True)
        with pytest.raises(
            ContractError, match=r"version 2 has another contract than version 1 \(input changes"
        ) as caught:
            classifier.infer(batch, ["logits"])
        assert "next call" in str(caught.value)
        assert (classifier.contract, classifier.labels) == (new.contract, tuple("wxyz"))
        assert classifier.classify(IMAGE).version == "2"


def answered_with(server: StubServer, names: Sequence[str], count: int) -> Tensors:
    right = correct_answer(server.contract, count)
    return {name: right[name] for name in names}


def test_batch_for_the_old_contract_is_refused_after_another_call() -> None:
    server = StubServer(toy_contract(), lambda names, count: answered_with(server, names, count))
    with server, Classifier(server.url, "toy") as classifier:
        before = classifier.contract
        batch = classifier.prepare(IMAGE)[np.newaxis]
        assert classifier.infer(batch, ["logits"], contract=before)["logits"].shape == (1, 4)
        server.contract, server.version = toy_contract(preset="raw-rgb"), "2"
        with pytest.raises(ContractError, match="version 2 has another contract than version 1"):
            classifier.classify(IMAGE)
        requests = len(server.batch_sizes)
        with pytest.raises(ContractError, match=r"version 2 has another one \(preprocessing changes"):
            classifier.infer(batch, ["logits"], contract=before)
        assert len(server.batch_sizes) == requests
        now = classifier.contract
        batch = classifier.prepare(IMAGE)[np.newaxis]
        assert classifier.infer(batch, ["logits"], contract=now)["logits"].shape == (1, 4)


def test_batch_for_the_old_contract_is_refused_after_another_task() -> None:
    server = StubServer(toy_contract(), lambda names, count: answered_with(server, names, count))

    async def main() -> None:
        async with AsyncClassifier(server.url, "toy") as classifier:
            before = classifier.contract
            batch = (await classifier.prepare(IMAGE))[np.newaxis]
            server.contract, server.version = toy_contract(preset="raw-rgb"), "2"
            with pytest.raises(ContractError, match="version 2 has another contract than version 1"):
                await classifier.classify(IMAGE)
            with pytest.raises(ContractError, match=r"version 2 has another one \(preprocessing changes"):
                await classifier.infer(batch, ["logits"], contract=before)
            now = classifier.contract
            batch = (await classifier.prepare(IMAGE))[np.newaxis]
            assert (await classifier.infer(batch, ["logits"], contract=now))["logits"].shape == (1, 4)

    with server:
        asyncio.run(main())


def test_smaller_max_batch_size_is_followed(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "1")
    publish(bundle, tmp_path / "repository")
    with (
        DisposableServer(tmp_path / "repository", model_control="explicit") as server,
        Classifier(server.grpc_url, "toy") as classifier,
    ):
        publish(bundle, tmp_path / "repository", url=server.grpc_url, options={"max_batch_size": 2})
        batch = np.stack([classifier.prepare(IMAGE)] * 7)
        assert classifier.infer(batch, ["logits"])["logits"].shape == (7, 4)


def test_reused_version_number_is_noticed_when_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    contract = toy_contract()
    server = StubServer(contract, lambda names, count: {name: correct_answer(contract)[name] for name in names})
    with server, Classifier(server.url, "toy") as classifier:
        assert classifier.classify(IMAGE).top[0].label == "b"
        server.labels = ["d", "c", "b", "a"]  # as if another server took over the address
        monkeypatch.setattr(known_versions, "TRUSTED_SECONDS", 0.0)
        with pytest.raises(ContractError, match="labels change"):
            classifier.classify(IMAGE)
        assert classifier.classify(IMAGE).top[0].label == "c"


def test_version_is_read_again_after_an_invalid_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = toy_contract(), toy_contract(classes=5)
    server = StubServer(small, lambda names, count: {name: correct_answer(server.contract)[name] for name in names})
    with server, Classifier(server.url, "toy") as classifier:
        server.contract, server.labels = large, list("vwxyz")
        with pytest.raises(ContractError, match=r"\[1, 5\] as 'probabilities'"):
            classifier.classify(IMAGE)
        with pytest.raises(ContractError, match="classes changes"):
            classifier.classify(IMAGE)
        assert classifier.classify(IMAGE).top[0].label == "w"
