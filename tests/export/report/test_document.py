"""The report of an export, for programs and for people."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.networks import small_network
from support.reports import Outline, Reported, report_small_export

from camserve.export.provenance import weights_digest
from camserve.export.report.document import describe_files, write_report


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return report_small_export(tmp_path_factory.mktemp("export"))


def test_page_contains_the_values_of_the_json(exported: Reported) -> None:
    report, examples, folder = exported.report, exported.examples, exported.folder
    assert read(folder) == json.loads(json.dumps(report))
    text = Outline((folder / "report.html").read_text()).text
    expected = [
        report["source"]["title"],
        report["source"]["weights_sha256"],
        report["measured_on"]["sha256"],
        *(entry["sha256"] for entry in report["files"].values()),
        *(f"{name} {version}" for name, version in report["packages"].items()),
        *report["graph"]["operators"],
        *report["graph"]["layers"],
        *(entry["batchnorm"] for entry in report["folding"]["folded"]),
        *(output["name"] for output in report["contract"]["outputs"]),
        *(example.name for example in examples),
        "parity passed",
        f"Metrics within tolerance: {len(report['parity'])} of {len(report['parity'])}.",
    ]
    assert [part for part in expected if part not in text] == []


def read(folder: Path) -> Any:
    """Read `report.json`, and fail for NaN and infinity."""
    text = (folder / "report.json").read_text()
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_reports_of_one_export_are_identical(exported: Reported, tmp_path: Path) -> None:
    report, examples, folder = exported.report, exported.examples, exported.folder
    write_report(tmp_path, report, examples)
    for name in ("report.json", "report.html"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_report_contains_no_path_of_the_machine(exported: Reported) -> None:
    folder = exported.folder
    for name in ("report.json", "report.html"):
        assert str(folder.parent) not in (folder / name).read_text()


def test_maps_in_the_json_equal_those_of_the_example(exported: Reported) -> None:
    examples, folder = exported.examples, exported.folder
    for values, example in zip(read(folder)["examples"], examples, strict=True):
        assert np.array_equal(np.float32(values["keras"]["map"]), np.float32(example.keras_map))
        assert np.array_equal(np.float32(values["export"]["map"]), np.float32(example.map))
        assert values["difference"] == pytest.approx(example.difference)
        assert values["difference"] <= 1e-4
        assert set(values) == {"picture", "label", "keras", "export", "difference"}


def test_weights_hash_depends_on_values_and_names(tmp_path: Path) -> None:
    model = small_network("average")
    before = weights_digest(model)
    assert re.fullmatch("[0-9a-f]{64}", before)
    model.save(tmp_path / "model.keras")
    assert weights_digest(keras.models.load_model(tmp_path / "model.keras")) == before
    bias = model.get_layer("classes").bias
    bias.assign(np.nextafter(np.asarray(bias), np.float32(1)))
    assert weights_digest(model) != before


def test_folder_hash_is_that_of_its_file_listing(tmp_path: Path) -> None:
    folder = tmp_path / "saved_model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    listed = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in (("saved_model.pb", b"graph"), ("variables/data", b"weights"))
    )
    entry = {"bytes": 12, "sha256": hashlib.sha256(listed.encode()).hexdigest()}
    for name in ("report.json", "report.html", "manifest.json"):
        (tmp_path / name).touch()
    assert describe_files(tmp_path) == {"saved_model": entry}
    (folder / "variables" / "data").rename(folder / "data")
    assert describe_files(tmp_path)["saved_model"]["sha256"] != entry["sha256"]
