"""What `benchmarks/soak.py` counts as a fault, without a server."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.soak.counts import Counts
from support.soak.report import faults, render
from support.soak.site import DELAYED, Site, load_site, save_site, write_bundles, write_images
from support.toy import expected_outputs

from camserve.bundle import Bundle
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.predictions import Prediction
from camserve.images import load_image, prepare
from camserve.serving import publish

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Bundle]]:
    return write_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundles: dict[str, list[Bundle]]) -> Site:
    folder = tmp_path_factory.mktemp("site")
    write_images(folder / "images", 3)
    for bundle in bundles[DELAYED]:
        publish(bundle, folder / "repository")
    save_site(
        folder / "site.json",
        url="127.0.0.1:1",
        repository=folder / "repository",
        bundles=bundles,
        images=folder / "images",
    )
    return load_site(folder / "site.json")


def _answer(site: Site, bundle: Bundle, image: int, version: str) -> Classification:
    tensor = prepare(load_image(site.known.images[image]), bundle.contract)
    probabilities = expected_outputs(bundle, tensor[np.newaxis])["probabilities"][0]
    best = np.argsort(-probabilities)[:3]
    top = tuple(Prediction(int(index), f"class {index}", float(probabilities[index])) for index in best)
    return Classification(top, (), DELAYED, version, "", Timings(0.0, 0.0, 0.0), probabilities)


def test_an_answer_is_correct_for_its_version_and_image_only(site: Site, bundles: dict[str, list[Bundle]]) -> None:
    answer = _answer(site, bundles[DELAYED][1], 2, "2")
    assert site.known.problem(DELAYED, 2, answer) is None
    assert "not the probabilities of image 1" in (site.known.problem(DELAYED, 1, answer) or "")
    of_another = _answer(site, bundles[DELAYED][0], 2, "2")
    assert "version 2: not the probabilities" in (site.known.problem(DELAYED, 2, of_another) or "")
    assert "was not published" in (site.known.problem(DELAYED, 2, _answer(site, bundles[DELAYED][1], 2, "3")) or "")


def test_a_row_is_correct_for_either_version(site: Site, bundles: dict[str, list[Bundle]]) -> None:
    for bundle in bundles[DELAYED]:
        tensor = prepare(load_image(site.known.images[0]), bundle.contract)
        probabilities = expected_outputs(bundle, tensor[np.newaxis])["probabilities"][0]
        row = {"error": ""}
        for rank, index in enumerate(np.argsort(-probabilities), start=1):
            row |= {f"class_{rank}": str(index), f"probability_{rank}": str(probabilities[index])}
        assert site.known.row_problem(DELAYED, 0, row) is None
        assert site.known.row_problem(DELAYED, 1, row) is not None
        assert site.known.row_problem(DELAYED, 0, {**row, "error": "no answer"}) is not None


def test_a_call_without_an_outcome_is_lost() -> None:
    counts = Counts()
    counts.add("classify", "calls", 3)
    counts.answered("classify", None)
    counts.failed("classify", ValueError("a reason"))
    counts.add("classify", "ended")
    document = _document()
    document["counted"] |= counts.document()
    assert faults(document) == ["classify: 0 wrong, 1 lost of 3"]
    assert "ValueError: a reason" in document["counted"]["examples"][0]


def _grow(document: dict[str, Any]) -> None:
    document["samples"][-1]["processes"]["tritonserver"]["resident"] += 100 * MEGABYTE


def _open(document: dict[str, Any]) -> None:
    document["samples"][-1]["processes"]["clients"]["descriptors"] += 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_grow, "tritonserver grew by 100 MB"),
        (_open, "clients has 11 descriptors instead of 10"),
        (lambda document: document.update(exit_code=139), "camserve serve ended with exit code 139"),
        (lambda document: document.update(left_behind=["/tmp/x"]), "/tmp/x is left behind"),
        (lambda document: document.update(kills=3), "2 restarts after 3 kills"),
        (
            lambda document: document["restarts"].append({"cause": "itself", "began": 50.0, "seconds": 1.0}),
            "tritonserver ended by itself: 1 times",
        ),
        (
            lambda document: document["counted"]["killed"].update(wrong=1),
            "clients that are killed: 1 wrong, 0 other errors",
        ),
        (
            lambda document: document["counted"]["refusals"].append([150.0, 151.0]),
            "1 new clients found no server although none was restarted",
        ),
        (lambda document: document["counted"].update(unfinished=1), "1 clients did not return"),
    ],
)
def test_each_fault_is_reported(change: Callable[[dict[str, Any]], object], fault: str) -> None:
    document = _document()
    assert faults(document) == []
    change(document)
    assert fault in faults(document)


def test_the_tables_fit_100_columns() -> None:
    document = _document()
    document |= {"cpu": 0.5, "faults": []}
    assert max(map(len, render(document).splitlines())) <= 100


def _document() -> dict[str, Any]:
    used = {
        "processes": 1,
        "resident": 50 * MEGABYTE,
        "proportional": 40 * MEGABYTE,
        "descriptors": 10,
        "threads": 5,
    }
    names = ("serve", "guard", "tritonserver", f"backend of {DELAYED}", "clients")
    sample = {
        "at": 0.0,
        "triton_started": -200.0,
        "processes": {name: dict(used) for name in names},
        "shared": MEGABYTE,
        "scratch": MEGABYTE,
    }
    return {
        "minutes": 60.0,
        "samples": [copy.deepcopy(sample), {**copy.deepcopy(sample), "at": 3600.0}],
        "counted": {
            "uses": {},
            "slowest": {},
            "refusals": [[101.0, 101.0]],
            "examples": [],
            "unfinished": 0,
            "clients_exit_code": 0,
            "killed": {"programs": 1, "correct": 5, "ended": 1, "wrong": 0},
        },
        "restarts": [
            {"cause": "SIGKILL", "began": 100.0, "seconds": 2.0},
            {"cause": "SIGSEGV", "began": 200.0, "seconds": 2.0},
        ],
        "kills": 2,
        "exit_code": 0,
        "left_behind": [],
        "server_errors": "",
    }
