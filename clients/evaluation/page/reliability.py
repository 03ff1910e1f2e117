"""The reliability diagram of the page, as SVG."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.clients.evaluation.results import Calibration, CalibrationBin
from camserve.pages.markup import Html, join, section, tag
from camserve.text import count

__all__ = ["reliability_section"]

_LEFT, _TOP, _SIDE = 34, 8, 240
_STRIP = 44
"""Height of the histogram below the diagram."""
_GAP = 14
_NOTE = (
    "Bars: accuracy of the images whose best class has a probability of this range; dots are at their mean "
    "probability, and the gray bars count them. Below the diagonal, the model is more often wrong than its "
    "probabilities suggest. Select a bar to see its images."
)


def reliability_section(calibration: Calibration | None) -> Html:
    """Return the diagram, and what it shows in numbers."""
    if calibration is None:
        return section("Calibration", tag("p", "The table contains values that are no probabilities.", class_="faint"))
    return section(
        "Calibration",
        tag(
            "p",
            "Expected calibration error ",
            tag("b", f"{calibration.expected_error:.2%}"),
            f"; mean probability {calibration.probability:.2%}.",
        ),
        _diagram(calibration),
        tag("p", _NOTE, class_="faint"),
        class_="calibration",
    )


def _diagram(calibration: Calibration) -> Html:
    width, height = _LEFT + _SIDE + 18, _TOP + _SIDE + _GAP + _STRIP + 30
    return tag(
        "svg",
        *_axes(),
        *(_bar(each, calibration) for each in calibration.bins),
        tag("line", x1=_x(0), y1=_y(0), x2=_x(1), y2=_y(1), class_="diagonal"),
        *_dots(calibration),
        tag("text", "probability of the best class", x=_x(0.5), y=str(height - 2), text_anchor="middle"),
        viewBox=f"0 0 {width} {height}",
        class_="reliability",
        role="group",
        aria_label="Reliability diagram",
    )


def _axes() -> Iterator[Html]:
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield tag("line", x1=_x(0), y1=_y(tick), x2=_x(1), y2=_y(tick), class_="grid")
        yield tag("text", f"{tick:.0%}", x=f"{_LEFT - 5}", y=f"{float(_y(tick)) + 4:.1f}", text_anchor="end")
        below = _TOP + _SIDE + _GAP + _STRIP + 13
        yield tag("text", f"{tick:.0%}", x=_x(tick), y=str(below), text_anchor="middle")


def _bar(each: CalibrationBin, calibration: Calibration) -> Html:
    if each.accuracy is None or each.probability is None:
        return join()
    largest = max(each.images for each in calibration.bins)
    text = (
        f"{each.low:.0%} to {each.high:.0%}: {count(each.images, 'image')}, mean probability {each.probability:.1%}, "
        f"accuracy {each.accuracy:.1%}"
    )
    width, share = _SIDE * (each.high - each.low) - 3, max(1.0, _STRIP * each.images / largest)
    left, floor = f"{float(_x(each.low)) + 1.5:.1f}", _TOP + _SIDE + _GAP + _STRIP
    # The whole height reacts to the pointer, so that bars of low accuracy can be selected.
    return tag(
        "g",
        tag("title", text),
        tag("rect", x=left, y=_y(1), width=f"{width:.1f}", height=f"{floor - _TOP:.1f}", class_="reach"),
        tag(
            "rect",
            x=left,
            y=_y(each.accuracy),
            width=f"{width:.1f}",
            height=f"{max(1.0, _SIDE * each.accuracy):.1f}",
            class_="accuracy",
        ),
        tag("rect", x=left, y=f"{floor - share:.1f}", width=f"{width:.1f}", height=f"{share:.1f}", class_="images"),
        role="button",
        tabindex="0",
        aria_label=text,
        aria_pressed="false",
        data_low=f"{100 * each.low:.0f}",
        data_high=f"{100 * each.high:.0f}",
    )


def _dots(calibration: Calibration) -> Iterator[Html]:
    for each in calibration.bins:
        if each.probability is not None and each.accuracy is not None:
            yield tag("circle", cx=_x(each.probability), cy=_y(each.accuracy), r="3.5", class_="mean")


def _x(share: float) -> str:
    return f"{_LEFT + _SIDE * share:.1f}"


def _y(share: float) -> str:
    return f"{_TOP + _SIDE * (1 - share):.1f}"
