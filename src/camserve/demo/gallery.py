"""The gallery: digits, their classes and their maps on one self-contained page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from camserve.clients import ActivationMap, Classification

__all__ = ["Shown", "gallery"]

_SIDE = 112
_OF_EACH_CLASS = 4

_STYLE = """
:root { color-scheme: light dark; --faint: #8883; --bad: #c02626; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .8rem; }
p { margin: .4rem 0; max-width: 46rem; }
dl { display: flex; flex-wrap: wrap; gap: .6rem 2.5rem; margin: 1.2rem 0; }
dt { opacity: .7; font-size: .85rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.grid { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; padding: .5rem; border: 1px solid var(--faint); border-radius: .5rem; }
figure.wrong { border-color: var(--bad); }
figure div { display: flex; gap: .4rem; }
img { width: 84px; height: 84px; border-radius: .25rem; display: block; }
img.pixels { image-rendering: pixelated; }
figcaption { font-size: .85rem; margin-top: .35rem; font-variant-numeric: tabular-nums; }
small { display: block; text-align: center; opacity: .7; }
"""


@dataclass(frozen=True)
class Shown:
    """An answer and what the image really is."""

    answer: Classification
    digit: int

    @property
    def right(self) -> bool:
        """Whether the best class is the digit."""
        return self.answer.top[0].index == self.digit


def gallery(shown: Sequence[Shown], figures: Mapping[str, str]) -> str:
    """The page: figures, then every image that was named wrongly, then some of each class that were named rightly."""
    wrong = [item for item in shown if not item.right]
    right = [item for item in shown if item.right]
    chosen = [item for digit in range(10) for item in [item for item in right if item.digit == digit][:_OF_EACH_CLASS]]
    terms = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in figures.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>camserve: handwritten digits</title><style>{_STYLE}</style></head>\n<body>"
        "<h1>Handwritten digits, classified and explained</h1>"
        "<p>Each image was sent to Triton Inference Server as a PNG file. Beside it stands the class activation map "
        "that came back with the answer: red speaks for the class, blue does not.</p>"
        f"<dl>{terms}</dl>"
        f"<h2>Wrong: {len(wrong)}</h2>{_grid([_wrong(item) for item in wrong]) if wrong else '<p>None.</p>'}"
        f"<h2>Right: {len(right)}, of which {len(chosen)} are shown</h2>{_grid([_right(item) for item in chosen])}"
        "</body></html>\n"
    )


def _grid(cards: Sequence[str]) -> str:
    return f'<div class="grid">{"".join(cards)}</div>'


def _right(item: Shown) -> str:
    best = item.answer.top[0]
    images = _image(item.answer.cams[0]) + _map(item.answer.cams[0])
    caption = f"<b>{escape(best.label)}</b> {best.probability:.1%}"
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>"


def _wrong(item: Shown) -> str:
    best, cams = item.answer.top[0], item.answer.cams
    of_truth = next((cam for cam in cams if cam.index == item.digit), None)
    images = _image(cams[0]) + _map(cams[0], f"for {best.label}")
    if of_truth is not None:
        images += _map(of_truth, f"for {of_truth.label}")
    caption = f"<b>{escape(best.label)}</b> {best.probability:.1%}, but it is a <b>{item.digit}</b>"
    return f'<figure class="wrong"><div>{images}</div><figcaption>{caption}</figcaption></figure>'


def _image(cam: ActivationMap) -> str:
    return f'<span><img class="pixels" alt="digit" src="{_data_uri(cam.image)}"></span>'


def _map(cam: ActivationMap, caption: str = "") -> str:
    drawn = cam.overlay(size=(_SIDE, _SIDE))
    small = f"<small>{escape(caption)}</small>" if caption else ""
    return f'<span><img alt="map for {escape(cam.label)}" src="{_data_uri(drawn)}">{small}</span>'


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
