"""Contracts that were changed by hand, and the table of them in docs/reliability.md.

`cd tests && python -m support.tampered_contracts` prints the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from support.toy import toy_contract

from camserve.contract import ModelContract
from camserve.errors import BundleError

__all__ = ["CONTRACT", "TAMPERED", "Tampered", "refusal", "table"]

CONTRACT = toy_contract(preset="torch")
_TEXT = CONTRACT.to_json()
_NAN, _INFINITY = float("nan"), float("inf")
_PREFIX = "the contract is not a valid camserve contract: "


@dataclass(frozen=True)
class Tampered:
    """A contract that a server may carry.

    Attributes:
        change: What was changed, for people.
        text: The contract.
    """

    change: str
    text: str


def _at(path: Sequence[str | int], change: Callable[[Any, str | int], None]) -> str:
    """Change a member of the contract, given its parent and its key."""
    document = parent = json.loads(_TEXT)
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return json.dumps(document)


def _set(value: Any, *path: str | int) -> Tampered:
    def change(parent: Any, key: str | int) -> None:
        parent[key] = value

    shown = json.dumps(value) if len(json.dumps(value)) < 40 else f"{json.dumps(value)[:30]}..."
    return Tampered(f"`{_named(path)}`: `{shown}`", _at(path, change))


def _drop(*path: str | int) -> Tampered:
    def change(parent: Any, key: str | int) -> None:
        del parent[key]

    return Tampered(f"`{_named(path)}` left out", _at(path, change))


def _add(value: Any, *path: str | int) -> Tampered:
    return Tampered(f"additional field `{_named(path)}`", _set(value, *path).text)


def _twice(before: str, again: str) -> Tampered:
    return Tampered(f"`{again}` before `{before}`", _replaced(before, f"{again}, {before}"))


def _replaced(old: str, new: str) -> str:
    if _TEXT.count(old) != 1:
        raise ValueError(f"{old} is in the contract {_TEXT.count(old)} times")
    return _TEXT.replace(old, new)


def _named(path: Sequence[str | int]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


_PIXELS = "preprocessing"
_MEAN = json.dumps(CONTRACT.preprocessing.mean, separators=(",", ":"))

TAMPERED: tuple[Tampered, ...] = (
    # Values from which pixels are computed.
    *(_set([_NAN] * 3, _PIXELS, name) for name in ("scale", "mean", "std")),
    *(_set([_INFINITY] * 3, _PIXELS, name) for name in ("scale", "mean", "std")),
    _set([-_INFINITY] * 3, _PIXELS, "mean"),
    Tampered(f"`{_PIXELS}.mean`: `[1e400,0,0]`", _replaced(_MEAN, "[1e400,0,0]")),
    _set([1e39, 0.0, 0.0], _PIXELS, "mean"),
    _set([0, 1, 1], _PIXELS, "std"),
    _set([-0.0, 1.0, 1.0], _PIXELS, "scale"),
    _set([1e-50, 1.0, 1.0], _PIXELS, "std"),
    _set([1e-40, 1.0, 1.0], _PIXELS, "scale"),
    _set([1e-40, 0.0, 0.0], _PIXELS, "mean"),
    _set([1e-37, 1.0, 1.0], _PIXELS, "scale"),
    _set([1e38, 1.0, 1.0], _PIXELS, "scale"),
    _set([1e30, 0.0, 0.0], _PIXELS, "mean"),
    _set([1e-38] * 3, _PIXELS, "std"),
    _set([True] * 3, _PIXELS, "mean"),
    _set(["0.5"] * 3, _PIXELS, "std"),
    _set([None] * 3, _PIXELS, "scale"),
    _set(127.5, _PIXELS, "scale"),
    _set([0.5], _PIXELS, "mean"),
    _set([1.0] * 4, _PIXELS, "std"),
    _set([], _PIXELS, "mean"),
    Tampered(f"`{_PIXELS}.mean`: an integer of 5,000 digits", _replaced(_MEAN, f"[{'9' * 5000},0,0]")),
    # What is left out.
    *(_drop(_PIXELS, name) for name in ("color", "resize", "fit", "scale", "mean", "std", "in_graph")),
    _set({}, _PIXELS),
    *(_drop(name) for name in ("version", "name", "input", "outputs", _PIXELS, "activation", "classes")),
    _drop("cam"),
    _drop("input", "dtype"),
    _drop("cam", "grid"),
    # Types, and words that are not known.
    _set("yes", _PIXELS, "in_graph"),
    _set(1, _PIXELS, "in_graph"),
    _set(True, _PIXELS, "in_graph"),
    _set("RGB", _PIXELS, "color"),
    _set("gray", _PIXELS, "color"),
    _set("cubic", _PIXELS, "resize"),
    _set(None, _PIXELS, "fit"),
    _set("relu", "activation"),
    _set(True, "version"),
    _set(1.0, "version"),
    _set("1", "version"),
    _set(0, "version"),
    _set(2, "version"),
    _set(3, "version"),
    _set("gradient", "cam", "kind"),
    _set("4", "classes"),
    _set(4.0, "classes"),
    _set([], _PIXELS),
    _set({}, "outputs"),
    _set("FP64", "input", "dtype"),
    # Keys.
    _twice('"color":"rgb"', '"color":"bgr"'),
    _twice('"version":1', '"version":1'),
    _twice('"top_k":3', '"top_k":2'),
    _add(2.2, _PIXELS, "gamma"),
    _add("nhwc", "layout"),
    # Names.
    _set("", "name"),
    _set("toy\u001b[2J", "name"),
    _set("\ud800", "input", "name"),
    _set("x" * 300, "input", "name"),
    _set("logits", "outputs", 0, "name"),
    _set("image", "outputs", 0, "name"),
    # Shapes, and parts that do not agree.
    _set([8, 8, 1], "input", "shape"),
    _set([8, 8], "input", "shape"),
    _set([-8, 8, 3], "input", "shape"),
    _set([0, 8, 3], "input", "shape"),
    _set([8.0, 8, 3], "input", "shape"),
    _set([60000, 60000, 3], "input", "shape"),
    _set([10000, 10000, 3], "input", "shape"),
    _set([2**62, 8, 3], "input", "shape"),
    _set([2**64, 8, 3], "input", "shape"),
    _set([1] * 33, "input", "shape"),
    _set("UINT8", "input", "dtype"),
    _set("INT32", "input", "dtype"),
    _set([5], "outputs", 0, "shape"),
    _set("FP32", "outputs", 3, "dtype"),
    _set([], "outputs"),
    _set(5, "classes"),
    _set(0, "classes"),
    _set(-4, "classes"),
    _set(2**62, "classes"),
    _set([5, 5], "cam", "grid"),
    _set([4], "cam", "grid"),
    _set([-4, 4], "cam", "grid"),
    _set(5, "cam", "top_k"),
    _set(True, "cam", "top_k"),
    _set(True, "cam", "all_classes"),
    _set(None, "cam"),
    # Documents.
    Tampered("cut in the middle", _TEXT[: len(_TEXT) // 2]),
    Tampered("`null`", "null"),
    Tampered("a list of the contract", f"[{_TEXT}]"),
    Tampered("the contract as a string of JSON", json.dumps(_TEXT)),
    Tampered("20,000 lists in each other", "[" * 20_000 + "]" * 20_000),
    Tampered("40 lists in each other as the name", _replaced('"toy"', "[" * 40 + "]" * 40)),
    Tampered("10 MB of spaces", _TEXT + " " * 10_000_000),
)


def refusal(text: str) -> str:
    """Return what the reader says of a contract, without the words that every refusal starts with."""
    try:
        ModelContract.from_json(text)
    except BundleError as error:
        return error.message.removeprefix(_PREFIX)
    raise AssertionError(f"accepted: {text[:2000]}")


def table(tampered: Sequence[Tampered] = TAMPERED) -> str:
    """Return the table of the documents."""
    lines = ["| changed in the contract | `ContractError` |", "|---|---|"]
    for each in tampered:
        lines.append(f"| {each.change} | {refusal(each.text)} |".replace("\\", "\\\\"))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201
