"""The page: one HTML document with its style and script, and the policy that allows nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from camserve.colormaps import color_table, css_gradient
from camserve.pages.files import BASE_SCRIPT, BASE_STYLE, read_text
from camserve.pages.markup import Html, section, tag
from camserve.pages.policy import content_policy

__all__ = ["Page", "render_page"]

_PACKAGE = "camserve.view"
_SCRIPTS = ("drawing.js", "panel.js", "page.js")
_COLORMAP = "viridis"
_IMAGES = "image/*,.tif,.tiff,.webp,.avif,.heic"


@dataclass(frozen=True)
class Page:
    """A page as it is sent.

    Attributes:
        body: The HTML, in UTF-8.
        policy: Its Content-Security-Policy.
    """

    body: bytes
    policy: str


def render_page(model: str, servers: Sequence[str], max_bytes: int) -> Page:
    """Return the page of a model.

    Args:
        model: Its name.
        servers: The addresses of its servers.
        max_bytes: The most bytes of an image file.
    """
    gradient = f".scale i {{ background: {css_gradient(_COLORMAP)}; }}\n"
    style = Html(f"{BASE_STYLE}{read_text(_PACKAGE, 'page.css')}{gradient}")
    script = Html("".join((BASE_SCRIPT, *(read_text(_PACKAGE, name) for name in _SCRIPTS))))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{model}: camserve view"),
        tag("link", rel="icon", href="data:,"),
        tag("style", style),
    )
    data = {"max_bytes": max_bytes, "colors": color_table(_COLORMAP).tolist()}
    body = tag(
        "body",
        tag(
            "main",
            tag("h1", model),
            tag("p", f"Served at {', '.join(servers)}", class_="lead faint"),
            tag("noscript", tag("p", "This page needs its script, which this browser does not run.", class_="note")),
            _controls(),
            _drop_area(),
            tag("div", id="error", role="alert"),
            tag("p", id="status", role="status"),
            section("Answers", id="answers", hidden=""),
        ),
        tag("script", Html(json.dumps(data)), type="application/json", id="data"),
        tag("script", script),
    )
    html = f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
    policy = f"{content_policy(style, script)}; connect-src 'self'; frame-ancestors 'none'"
    return Page(html.encode(), policy)


def _controls() -> Html:
    return tag(
        "form",
        tag("label", tag("span", "Version"), tag("select", id="first")),
        tag("label", tag("span", "Beside it"), tag("select", tag("option", "none", value=""), id="second")),
        tag(
            "label",
            tag("span", "Opacity of the map"),
            tag("input", type="range", id="opacity", min="0", max="100", step="5", value="70"),
        ),
        tag("span", tag("span", "lowest"), tag("i", aria_hidden="true"), tag("span", "highest"), class_="scale"),
        id="controls",
        aria_label="Versions and map",
    )


def _drop_area() -> Html:
    return tag(
        "div",
        tag("input", type="file", id="file", accept=_IMAGES, aria_label="Choose an image"),
        tag("span", "or drop an image anywhere on this page, or paste it (Ctrl-V)"),
        id="drop",
    )
