"""Int8 exports that the gate refuses and that are repaired, of a network with one layer that 8 bits are too few for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import onnx
import pytest
from support.int8_networks import HARMED, LAYERS, harmed_network, write_colors
from support.reports import Outline

from camserve.bundle import Bundle
from camserve.errors import ParityError, UsageError
from camserve.export import Tolerances, export_model
from camserve.export.classifier import read_classifier
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.gate.metric import Metric
from camserve.export.int8.probe import Probe
from camserve.export.int8.repair import can_be_repaired, repair
from camserve.export.onnx_file import OnnxFile
from camserve.export.options import ExportOptions
from camserve.progress import no_progress

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Site:
    """A network with calibration images, and a folder for its exports."""

    folder: Path
    network: keras.Model
    images: Path

    def export(self, name: str, images: Path | None = None, **options: Any) -> Bundle:
        return export_model(
            self.network,
            self.folder / name,
            preprocessing="unit",
            resize="nearest",
            precision="int8",
            calibration=images or self.images,
            formats="onnx",
            **options,
        )


@dataclass(frozen=True)
class Repaired:
    """A repaired export, with the phases of its progress."""

    bundle: Bundle
    phases: Sequence[str] = field(default_factory=list)

    @property
    def int8(self) -> dict[str, Any]:
        value: dict[str, Any] = self.bundle.report["int8"]
        return value


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("int8")
    return Site(folder, harmed_network(), write_colors(folder / "colors", 64))


@pytest.fixture(scope="module")
def repaired(site: Site) -> Repaired:
    phases: list[str] = []
    return Repaired(site.export("repaired", progress=phases.append), phases)


def quantized_layers(bundle: Bundle) -> list[str]:
    """Return the layers whose weights are int8."""
    graph = onnx.load(str(bundle.onnx_path)).graph
    read = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return [node.name.split("/")[0] for node in graph.node if node.op_type == "Conv" and node.input[1] in read]


def test_only_the_harmed_layer_stays_in_float32(repaired: Repaired) -> None:
    assert repaired.int8["float32"] == [HARMED]
    assert quantized_layers(repaired.bundle) == [layer for layer in LAYERS if layer != HARMED]
    assert all(row["passed"] for row in repaired.bundle.report["parity"])


def test_report_says_why_and_at_what_cost(repaired: Repaired) -> None:
    int8 = repaired.int8
    assert (int8["choice"], int8["layers"], int8["option"]) == ("auto", len(LAYERS), f"all,-{HARMED}")
    plain, chosen = int8["attempts"]
    assert plain["float_layers"] == []
    assert "cam_distance" in {row["figure"] for row in plain["parity"] if not row["passed"]}
    assert chosen["float_layers"] == [HARMED]
    assert all(row["passed"] for row in chosen["parity"])
    first, *others = int8["effects"]
    assert first["layer"] == HARMED
    assert first["logits"] > 10 * max(effect["logits"] for effect in others)
    assert first["maps"] > 10 * max(effect["maps"] for effect in others)
    assert {effect["layer"] for effect in others} == set(LAYERS) - {HARMED}
    cost = int8["cost"]
    assert 0 < cost["bytes"] != cost["plain_bytes"] > 0
    assert cost["speed"] > 0
    assert cost["float32_speed"] > 0


def test_user_notices_the_repair(repaired: Repaired) -> None:
    (note,) = (note for note in repaired.bundle.report["notes"] if "int8" in note)
    assert note.startswith("int8 was repaired: 1 of 6 layers in float32, because all layers in int8 exceed the toler")
    assert "times the speed" in note
    assert note.endswith(f"the same layers without a search: --int8-layers all,-{HARMED}")
    page = " ".join(Outline((repaired.bundle.path / "report.html").read_text()).text.split())
    assert "int8 with 1 layer of 6 in float32" in page
    assert "Effect of the other 5 layers" in page
    assert f"--int8-layers all,-{HARMED}" in page
    refused = next(index for index, phase in enumerate(repaired.phases) if phase.startswith("int8 was refused ("))
    assert any(
        phase.startswith("measure the effect of int8 on each of 6 layers") for phase in repaired.phases[refused:]
    )


def test_layers_chosen_by_hand_give_the_same_file_without_a_search(site: Site, repaired: Repaired) -> None:
    phases: list[str] = []
    bundle = site.export("chosen", int8_layers=repaired.int8["option"], progress=phases.append)
    assert bundle.onnx_path is not None
    assert repaired.bundle.onnx_path is not None
    assert bundle.onnx_path.read_bytes() == repaired.bundle.onnx_path.read_bytes()
    assert not any("refused" in phase for phase in phases)
    assert bundle.report["int8"]["float32"] == [HARMED]
    assert (
        f"int8 with 1 of 6 layers in float32, as requested by --int8-layers all,-{HARMED}: '{HARMED}'"
        in (bundle.report["notes"])
    )
    assert "Requested by" in (bundle.path / "report.html").read_text()


def test_all_layers_in_int8_are_refused_as_requested(site: Site) -> None:
    phases: list[str] = []
    with pytest.raises(ParityError, match="cam_distance of onnx") as raised:
        site.export("all", int8_layers="all", progress=phases.append)
    assert "--int8-layers auto" in str(raised.value.hint)
    assert phases[-1] == "run Keras, measure parity"


def test_tolerances_that_no_layers_meet_end_with_what_was_tried(site: Site) -> None:
    with pytest.raises(ParityError, match="3 of 6 layers in float32, the most that may be, did not suffice") as raised:
        site.export("strict", tolerances=Tolerances(cam_distance=1e-9))
    assert "Choose fp32, or fp16 instead of int8" in str(raised.value.hint)
    assert not (site.folder / "strict").exists()


def test_no_layers_are_searched_if_float32_is_refused_too(site: Site) -> None:
    phases: list[str] = []
    with pytest.raises(ParityError, match="no layers in float32 can help, as the graph in float32 is refused as well"):
        site.export("identity", tolerances=Tolerances(cam_identity=0), progress=phases.append)
    assert phases[-1].endswith("measure the graph in float32")


def test_layers_are_doubled_while_the_gate_refuses(site: Site, repaired: Repaired) -> None:
    options = ExportOptions(
        preprocessing="unit",
        resize="nearest",
        onnx=OnnxSettings(precision="int8"),
        calibration=site.images,
        formats=("onnx",),
    )
    classifier = read_classifier(site.network, options, no_progress)
    network, fit = OnnxFile(site.folder, classifier).int8, classifier.calibration
    assert fit is not None
    refused = [Metric("onnx", "cam_distance", 16, 0.5, 0.01, option="cam_distance")]
    verdicts = iter([[], refused, refused])  # on float32, one layer and two layers
    found = repair(
        network,
        refused,
        lambda: Probe(classifier.prepared, classifier.contract, fit.fit, options.tolerances),
        lambda _: next(verdicts),
        no_progress,
    )
    assert [effect.as_document() for effect in found.effects] == repaired.int8["effects"], "two searches differ"
    plain, first, second = found.attempts
    assert (plain.float_layers, first.float_layers) == ((), (HARMED,))
    costs = network.expenses()
    best = max(found.effects[1:], key=lambda each: each.squared_error / costs[each.layer])
    assert second.float_layers == (HARMED, best.layer)
    assert found.failure == (
        "this is with 2 of 6 layers in float32, of at most 3; with 1: cam_distance 0.5 > 0.01; "
        "with 0: cam_distance 0.5 > 0.01"
    )


def test_unknown_layer_is_refused_before_the_gate(site: Site) -> None:
    phases: list[str] = []
    with pytest.raises(UsageError, match="no layer that int8 quantizes is named 'hermed'") as raised:
        site.export("unknown", int8_layers="all,-hermed", progress=phases.append)
    assert f"Did you mean '{HARMED}'?" in str(raised.value.hint)
    assert phases[-1] == "write onnx, int8 (cpu)"


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ([Metric("onnx", "cam_distance", 8, 0.5, 0.01, option="cam_distance")], True),
        ([Metric("onnx", "cam_identity", 8, 0.5, 1e-4, option="cam_identity")], False),
        (
            [
                Metric("onnx", "cam_distance", 8, 0.5, 0.01, option="cam_distance"),
                Metric("savedmodel", "logits", 8, 0.5, 1e-4, option="logits"),
            ],
            False,
        ),
        ([], False),
    ],
)
def test_only_rounding_of_the_onnx_file_is_repaired(failed: list[Metric], expected: bool) -> None:
    passed = Metric("network", "unfolded", 0, 0, 0)
    assert can_be_repaired([passed, *failed]) == expected
