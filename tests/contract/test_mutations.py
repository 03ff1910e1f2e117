"""Every part of a contract, replaced by every odd value, left out or given twice: refused, or read as it is written."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.toy import toy_contract

from camserve.contract import PRESETS, ModelContract
from camserve.errors import BundleError
from camserve.pixels import normalize

Path = tuple[str | int, ...]

CONTRACT = toy_contract(preset="torch", all_maps=True)
TEXT = CONTRACT.to_json()
IMPLIED = {("cam",), ("cam", "all_classes")}
PIXELS = np.stack([np.arange(256, dtype=np.uint8)] * 3, axis=-1)

NAN, INFINITY = float("nan"), float("inf")
WORDS = (
    None,
    True,
    False,
    "",
    "0",
    "1",
    "true",
    "NaN",
    "rgb",
    "bgr",
    "FP32",
    "linear",
    "x",
    "\0",
    "\ud800",
    "x" * 2000,
)
INTEGERS = (0, 1, -1, 2, 3, 4, 8, 2**31, 2**53, 2**62, 2**64, -(2**64), 10**400)
NUMBERS = (-0.0, 1.0, 1.5, 1e-50, 1e-40, 1e-38, 1e-30, 1e30, 1e38, 1e39, -1e39, NAN, INFINITY, -INFINITY)
LISTS: tuple[Any, ...] = (
    [],
    [[]],
    [1] * 3,
    [0] * 3,
    [True] * 3,
    [1e-50, 1, 1],
    [NAN, 1, 1],
    [1, None, 1],
    ["1"] * 3,
    [3, 4, 4],
    [4],
)
OBJECTS: tuple[Any, ...] = ({}, {"version": 1}, {"name": "x", "dtype": "FP32", "shape": [4]})
ODD = (*map(json.dumps, (*WORDS, *INTEGERS, *NUMBERS, *LISTS, *OBJECTS)), "1e400", "-1e400", "9" * 5000, "[" * 2000)


def paths(document: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every part of a document, the document itself first."""
    yield path
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, member in members:
        yield from paths(member, (*path, key))


PATHS = tuple(paths(json.loads(TEXT)))


def replaced(path: Path, value: str) -> str:
    """Replace a part of the contract by other JSON, of any kind."""
    document: list[Any] = [json.loads(TEXT)]
    parent: Any = document
    key: str | int = 0
    for step in path:
        parent, key = parent[key], step
    parent[key] = "REPLACED"
    return json.dumps(document[0]).replace('"REPLACED"', value)


def without(path: Path) -> str:
    document = parent = json.loads(TEXT)
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    return json.dumps(document)


def twice(path: Path) -> str:
    document = parent = json.loads(TEXT)
    for step in path[:-1]:
        parent = parent[step]
    parent["SECOND"] = parent[path[-1]]
    return json.dumps(document).replace('"SECOND"', json.dumps(path[-1]))


def read(text: str) -> ModelContract | None:
    """Read a contract; None if it is refused as it must be: with one short printable line, and a hint."""
    try:
        return ModelContract.from_json(text)
    except BundleError as error:
        refused = error
    assert refused.message.isprintable()
    assert len(refused.message) < 400
    assert refused.hint
    return None


def normal_form(value: Any) -> Any:
    """Return a document in which equal parts are equal: `1` and `true` differ, an integer equals its float."""
    if isinstance(value, dict):
        return {key: normal_form(member) for key, member in value.items()}
    if isinstance(value, list):
        return [normal_form(member) for member in value]
    return (isinstance(value, bool), value)


@pytest.mark.parametrize("value", ODD, ids=lambda value: value[:20])
def test_an_odd_value_is_refused_or_read_as_written(value: str) -> None:
    accepted = 0
    for path in PATHS:
        text = replaced(path, value)
        contract = read(text)
        if contract is None:
            continue
        accepted += 1
        assert normal_form(json.loads(contract.to_json())) == normal_form(json.loads(text)), path
        with np.errstate(all="raise"):
            pixels = normalize(PIXELS, contract.preprocessing)
        assert np.isfinite(pixels).all()
        assert all(len(np.unique(pixels[:, channel])) == 256 for channel in range(pixels.shape[1]))
    assert accepted < len(PATHS) / 2


def test_a_part_that_is_left_out_is_refused_unless_the_others_imply_it() -> None:
    for path in PATHS[1:]:
        contract = read(without(path))
        if contract is not None:
            assert path in IMPLIED or contract.outputs != CONTRACT.outputs, path


def test_what_the_outputs_imply_may_be_left_out() -> None:
    assert read(without(("cam", "all_classes"))) is None  # the outputs contain the maps of all classes
    plain = toy_contract()
    document = json.loads(plain.to_json())
    del document["cam"]["all_classes"]
    assert read(json.dumps(document)) == plain
    del document["cam"]
    assert read(json.dumps(document)) is None  # the outputs contain maps
    del document["outputs"][2:]
    contract = read(json.dumps(document))
    assert contract is not None
    assert contract.cam is None


def test_a_field_that_is_given_twice_is_refused() -> None:
    for path in PATHS[1:]:
        if isinstance(path[-1], str):
            with pytest.raises(BundleError, match="is given twice"):
                ModelContract.from_json(twice(path))


def test_random_changes_are_refused_or_leave_every_pixel_distinct() -> None:
    choice = random.Random(0)
    characters, accepted = '0123456789eE+-.,:[]{}"\\ntrufalsNaIy\0\ud800é', 0
    for _ in range(1500):
        text = list(TEXT)
        for _ in range(choice.choice((1, 1, 1, 2, 5))):
            place = choice.randrange(len(text))
            match choice.randrange(3):
                case 0:
                    text[place] = choice.choice(characters)
                case 1:
                    del text[place]
                case _:
                    text.insert(place, choice.choice(characters))
        contract = read("".join(text))
        if contract is not None:
            accepted += 1
            pixels = normalize(PIXELS, contract.preprocessing)
            assert all(len(np.unique(pixels[:, channel])) == 256 for channel in range(pixels.shape[1]))
    assert 20 < accepted < 500


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_camserve_writes_is_read_back(preset: str) -> None:
    for channels in {3, 3 if preset in ("caffe", "torch") else 1} - ({1} if "bgr" in preset else set()):
        contract = toy_contract(preset=preset, channels=channels)
        assert ModelContract.from_json(contract.to_json()) == contract
        assert ModelContract.from_json(contract.to_json(indent=2).encode()) == contract
