"""The gallery: a self-contained HTML page with digits, their predicted classes and their maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from camserve.clients import ActivationMap, Classification
from camserve.colormaps import css_gradient

__all__ = ["LabeledResult", "gallery"]

_SIDE = 112
_SHOWN_PER_CLASS = 4

_STYLE = f"""
:root {{ color-scheme: light dark; --faint: #8883; --bad: #c02626; }}
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; margin: 0; }} h2 {{ font-size: 1.1rem; margin: 2.2rem 0 .8rem; }}
p {{ margin: .4rem 0; max-width: 46rem; }}
dl {{ display: flex; flex-wrap: wrap; gap: .6rem 2.5rem; margin: 1.2rem 0; }}
dt {{ opacity: .7; font-size: .85rem; }} dd {{ margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }}
.scale {{ display: flex; align-items: center; gap: .5rem; font-size: .85rem; }}
.scale i {{ width: 14rem; height: .8rem; border-radius: .2rem; background: {css_gradient("viridis")}; }}
.grid {{ display: flex; flex-wrap: wrap; gap: .8rem; }}
figure {{ margin: 0; padding: .5rem; border: 1px solid var(--faint); border-radius: .5rem; }}
figure.wrong {{ border-color: var(--bad); }}
figure div {{ display: flex; gap: .4rem; }}
img {{ width: 84px; height: 84px; border-radius: .25rem; display: block; }}
img.pixels {{ image-rendering: pixelated; }}
figcaption {{ font-size: .85rem; margin-top: .35rem; font-variant-numeric: tabular-nums; }}
small {{ display: block; text-align: center; opacity: .7; }}
"""


@dataclass(frozen=True)
class LabeledResult:
    """The result for an image, and its true digit."""

    result: Classification
    digit: int

    @property
    def is_correct(self) -> bool:
        """Whether the predicted class is the true digit."""
        return self.result.top[0].index == self.digit


def gallery(results: Sequence[LabeledResult], metrics: Mapping[str, str]) -> str:
    """Render the page: metrics, every misclassified image, and a few correctly classified images of each class."""
    wrong = [each for each in results if not each.is_correct]
    correct = [each for each in results if each.is_correct]
    shown = [
        each for digit in range(10) for each in [each for each in correct if each.digit == digit][:_SHOWN_PER_CLASS]
    ]
    terms = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in metrics.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>camserve: handwritten digits</title><style>{_STYLE}</style></head>\n<body>"
        "<h1>Handwritten digits, classified and explained</h1>"
        "<p>Each image was sent to Triton Inference Server as a PNG file. Next to it is the class activation map from "
        "the same response: the brighter the color, the more that part of the image contributes to the class. Where "
        "the map is low, it is transparent.</p>"
        '<div class="scale">lowest value <i></i> highest value of each map</div>'
        f"<dl>{terms}</dl>"
        f"<h2>Misclassified: {len(wrong)}</h2>"
        f"{_grid([_wrong_card(each) for each in wrong]) if wrong else '<p>None.</p>'}"
        f"<h2>Correctly classified: {len(correct)} ({len(shown)} shown)</h2>"
        f"{_grid([_correct_card(each) for each in shown])}"
        "</body></html>\n"
    )


def _grid(cards: Sequence[str]) -> str:
    return f'<div class="grid">{"".join(cards)}</div>'


def _correct_card(labeled: LabeledResult) -> str:
    best, cam = labeled.result.top[0], labeled.result.cams[0]
    caption = f"<b>{escape(best.label)}</b> {best.probability:.1%}"
    return f"<figure><div>{_image(cam)}{_map(cam)}</div><figcaption>{caption}</figcaption></figure>"


def _wrong_card(labeled: LabeledResult) -> str:
    best, cams = labeled.result.top[0], labeled.result.cams
    of_true_digit = next((cam for cam in cams if cam.index == labeled.digit), None)
    images = _image(cams[0]) + _map(cams[0], f"map of {best.label}")
    if of_true_digit is not None:
        images += _map(of_true_digit, f"map of {of_true_digit.label}")
    caption = f"<b>{escape(best.label)}</b> {best.probability:.1%}, true digit <b>{labeled.digit}</b>"
    return f'<figure class="wrong"><div>{images}</div><figcaption>{caption}</figcaption></figure>'


def _image(cam: ActivationMap) -> str:
    return f'<span><img class="pixels" alt="digit" src="{_data_uri(cam.image)}"></span>'


def _map(cam: ActivationMap, caption: str = "") -> str:
    drawing = cam.overlay(size=(_SIDE, _SIDE))
    small = f"<small>{escape(caption)}</small>" if caption else ""
    return f'<span><img alt="map of {escape(cam.label)}" src="{_data_uri(drawing)}">{small}</span>'


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
