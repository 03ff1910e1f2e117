"""What a report and a note say about the layers that stay float32."""

from __future__ import annotations

import shlex

import pytest

from camserve.export.int8.choice import LayerChoice
from camserve.export.int8.cost import Cost
from camserve.export.int8.repair import Attempt, Repair
from camserve.export.int8.result import Int8Result
from camserve.export.report.int8_section import int8_layers


def test_the_option_chooses_layers_of_any_name_when_pasted_into_a_shell() -> None:
    layers = ("my layer", "block[1]", "a,b")
    result = Int8Result(LayerChoice(), 7, layers)
    pasted = shlex.split(f"--int8-layers {shlex.quote(result.option)}")
    assert LayerChoice.parse(pasted[1]).float_layers([*layers, "other"]) == layers


def test_notes_quote_patterns() -> None:
    choice = LayerChoice.parse("all,-block_*")
    (note,) = Int8Result(choice, 7, ("block_1", "block_2")).notes
    assert (
        note == "int8 with 2 of 7 layers in float32, as requested by --int8-layers 'all,-block_*': 'block_1', 'block_2'"
    )
    page = str(int8_layers({"int8": Int8Result(choice, 7, ("block_1", "block_2")).as_document()}))
    assert "--int8-layers &#x27;all,-block_*&#x27;" in page


@pytest.mark.parametrize(("speed", "is_slower"), [(0.77, True), (1.0, False), (1.5, False)])
def test_the_note_of_a_repair_says_when_float32_is_faster(speed: float, is_slower: bool) -> None:
    repair = Repair(7, (Attempt((), ()), Attempt(("a",), ())))
    cost = Cost(150, 100, 400, speed=0.9, float32_speed=speed, batch=8)
    (note,) = Int8Result(LayerChoice(), 7, ("a",), repair, cost).notes
    assert f"0.9 times the speed and 1.50 times the size of all layers in int8, {speed:g} times" in note
    assert ("so that --precision fp32 is faster here" in note) == is_slower


def test_reports_of_older_exports_have_no_such_section() -> None:
    assert str(int8_layers({})) == str(int8_layers({"int8": None})) == ""
