"""The section of the page about the layers of an int8 export that stay float32."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from camserve.export.report.metric_text import failures
from camserve.export.report.parts import format_bytes
from camserve.pages.markup import Html, details, join, number, section, table, tag
from camserve.text import count

__all__ = ["int8_layers"]

_LEGEND = (
    "The effect of a layer is what changes when it alone is in int8: the logits by their root mean square, relative to "
    "Keras's, and the maps by the mean of 1 − cosine."
)
_HEAD = ("layer", "logits", "maps")


def int8_layers(report: Mapping[str, Any]) -> Html:
    """Return which layers stay float32, why, and what that costs; nothing if int8 quantizes all layers.

    Args:
        report: The value of `report.json`.
    """
    int8 = report.get("int8")
    if int8 is None or not int8["float32"]:
        return join()
    chosen = count(len(int8["float32"]), "layer")
    requested = join(tag("p", "Requested by ", tag("code", f"--int8-layers {shlex.quote(int8['choice'])}"), "."))
    return section(
        f"int8 with {chosen} of {int8['layers']:,} in float32",
        _repair(int8) if int8["attempts"] else join(requested, tag("p", ", ".join(int8["float32"]))),
    )


def _repair(int8: Mapping[str, Any]) -> Html:
    chosen = set(int8["float32"])
    rows = [(each, each["layer"] in chosen) for each in int8["effects"]]
    others = [each for each, is_float in rows if not is_float]
    return join(
        table(("layers in float32", "parity"), map(_attempt, int8["attempts"])),
        tag("p", _cost(int8["cost"])) if int8["cost"] else "",
        table(_HEAD, _effects(each for each, is_float in rows if is_float), "effects"),
        tag("p", _LEGEND, class_="faint"),
        details(f"Effect of the other {count(len(others), 'layer')}", table(_HEAD, _effects(others), "effects")),
        tag(
            "p", "The same layers without a search: ", tag("code", f"--int8-layers {shlex.quote(int8['option'])}"), "."
        ),
    )


def _attempt(attempt: Mapping[str, Any]) -> tuple[int, str]:
    return len(attempt["float_layers"]), "; ".join(failures(attempt["parity"])) or "passed"


def _effects(effects: Iterable[Mapping[str, Any]]) -> Iterable[tuple[object, ...]]:
    return ((each["layer"], number(_value(each["logits"])), number(_value(each["maps"]))) for each in effects)


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _cost(cost: Mapping[str, Any]) -> str:
    sizes = f"{format_bytes(cost['bytes'])}, with all layers in int8 {format_bytes(cost['plain_bytes'])}"
    if cost["speed"] is None:
        return f"Size: {sizes}."
    speed = f"{cost['speed']:g} of that of all layers in int8, {cost['float32_speed']:g} times that of float32"
    return f"Size: {sizes}. Speed on the CPU of the export, in batches of {cost['batch']}: {speed}."
