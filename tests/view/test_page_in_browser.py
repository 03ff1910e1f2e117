"""The page of `camserve view` in a browser, with a real server: images, maps, versions, errors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from support.browser import CHROMIUM, Browser, Tab, open_browser
from support.disposable_server import DisposableServer
from support.toy import write_toy_bundle
from support.variants import add_variant, without_maps
from support.viewing import open_page

from camserve.clients import ActivationMap, Classifier
from camserve.clients.answers.map_drawing import display_size
from camserve.serving import TritonServer, publish
from camserve.view import PageServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]

SIZE = (1280, 900)
LABELS = ["ant", "bee", "cat", "dog", "<img src=x onerror=attacked=1>", "fly"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A Triton with two versions of a model that returns the map of every class."""
    folder = tmp_path_factory.mktemp("two")
    for seed in (0, 1):
        bundle = write_toy_bundle(
            folder / str(seed), seed=seed, size=(40, 56), classes=6, labels=LABELS, top_k=2, all_maps=True
        )
        publish(bundle, folder / "repository", options={"latest_versions": 2})
    with DisposableServer(folder / "repository") as server:
        yield server


@pytest.fixture(scope="module")
def page(server: TritonServer) -> Iterator[PageServer]:
    with open_page(server.grpc_url, "toy") as page:
        yield page


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "china.png"
    Image.fromarray(load_sample_image("china.jpg")).save(path)
    return path


def center_crop(config: Any, contract: dict[str, Any]) -> None:
    contract["preprocessing"]["fit"] = "center-crop"


@pytest.fixture(scope="module")
def variants(toy_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A Triton with a model that gets only a part of an image, and one without maps."""
    repository = tmp_path_factory.mktemp("variants") / "repository"
    for edit in (center_crop, without_maps):
        add_variant(repository, toy_repository, edit)
    with DisposableServer(repository) as server:
        yield server


@pytest.fixture
def tab(browser: Browser, page: PageServer) -> Tab:
    return opened(browser, page)


def opened(browser: Browser, page: PageServer) -> Tab:
    tab = browser.tab(*SIZE)
    tab.visit(page.url)
    tab.wait("document.getElementById('first').options.length > 0 || document.querySelector('#error .note') !== null")
    return tab


def show(tab: Tab, image: Path) -> None:
    """Choose an image, and wait for the answer."""
    tab.choose_file("#file", image)
    tab.wait(f"document.getElementById('status').textContent.startsWith({json.dumps(image.name)})")


def set_value(tab: Tab, selector: str, value: str, event: str) -> None:
    tab.run(
        f"(() => {{ const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};"
        f"field.dispatchEvent(new Event({json.dumps(event)}, {{bubbles: true}})); }})()"
    )


def canvas(tab: Tab, panel: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """Return the pixels that a panel shows, `[height, width, 3]`."""
    tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    uri = tab.run(f"document.querySelectorAll('canvas')[{panel}].toDataURL('image/png')")
    drawing = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(drawing.convert("RGB")).astype(np.int16)


def difference(tab: Tab, cam: ActivationMap, photo: Path, alpha: float) -> int:
    """Return the largest difference of a channel from the overlay that Python draws."""
    drawn = cam.overlay(photo, size=display_size(*cam.placement.original), alpha=alpha)
    return int(np.abs(canvas(tab) - np.asarray(drawn)).max())


def test_the_page_shows_the_classes_of_the_client(tab: Tab, server: TritonServer, photo: Path) -> None:
    show(tab, photo)
    with Classifier(server.grpc_url, "toy") as classifier:
        expected = classifier.classify(photo)
        assert classifier.versions() == ("2", "1")
    assert tab.texts(".classes label") == [f"{each.label}\n{each.probability:.1%}" for each in expected.top]
    assert tab.run("document.querySelector('.classes :checked').value") == str(expected.top[0].index)
    assert tab.texts("#status")[0].startswith("china.png (640 × 427 pixels); version 2: ")
    widths = tab.run("[...document.querySelectorAll('.classes i')].map((bar) => bar.style.getPropertyValue('--width'))")
    assert [float(width.rstrip("%")) for width in widths] == pytest.approx(
        [100 * each.probability for each in expected.top]
    )
    assert tab.complaints == []


def test_the_overlay_is_that_of_the_client_at_every_opacity(tab: Tab, server: TritonServer, photo: Path) -> None:
    show(tab, photo)
    with Classifier(server.grpc_url, "toy") as classifier:
        best, second = classifier.classify(photo, top=2, cam=True).cams
    assert difference(tab, best, photo, 0.7) <= 1
    for percent in (0, 35, 100):
        set_value(tab, "#opacity", str(percent), "input")
        assert difference(tab, best, photo, percent / 100) <= 1
    assert difference(tab, second, photo, 1.0) > 20, "the map of another class is found to differ"


@pytest.mark.parametrize("size", [(8, 8), (3000, 7), (1, 1)])
def test_small_and_long_images_are_drawn_as_by_the_client(
    browser: Browser, page: PageServer, server: TritonServer, tmp_path: Path, size: tuple[int, int]
) -> None:
    image = tmp_path / "random.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(image)
    tab = opened(browser, page)
    show(tab, image)
    with Classifier(server.grpc_url, "toy") as classifier:
        assert difference(tab, classifier.cam(image), image, 0.7) <= 1


def test_the_part_that_the_model_received_is_marked(browser: Browser, variants: TritonServer, photo: Path) -> None:
    with (
        open_page(variants.grpc_url, "center_crop") as page,
        Classifier(variants.grpc_url, "center_crop") as classifier,
    ):
        tab = opened(browser, page)
        show(tab, photo)
        cam = classifier.cam(photo)
        assert cam.placement.box == (106, 0, 533, 427)
        assert difference(tab, cam, photo, 0.7) <= 1
    assert tab.run("document.querySelectorAll('.classes :disabled').length") == 1, "of 4 classes 3 have a map"
    share = "parseFloat(document.querySelector('.box').style.{})"
    assert [round(6.4 * tab.run(share.format(side)), 2) for side in ("left", "width")] == [106, 427]
    assert tab.texts("figcaption")[0].endswith("; the model received the marked part")


def test_a_model_without_maps_shows_classes_and_image(browser: Browser, variants: TritonServer, photo: Path) -> None:
    with open_page(variants.grpc_url, "without_maps") as page:
        tab = opened(browser, page)
        show(tab, photo)
    assert len(tab.texts(".classes bdi")) == 4
    assert tab.texts("figcaption") == ["This model returns no maps."]
    assert np.array_equal(canvas(tab), np.asarray(Image.open(photo)))
    assert tab.complaints == []


def test_keys_choose_the_map_of_another_class(tab: Tab, server: TritonServer, photo: Path) -> None:
    show(tab, photo)
    tab.run("document.querySelector('.classes :checked').focus()")
    for _ in range(3):  # beyond the two maps that came with the answer
        tab.press("ArrowDown")
    with Classifier(server.grpc_url, "toy") as classifier:
        fourth = classifier.classify(photo).top[3]
        cam = classifier.cam(photo, fourth.index)
    tab.wait(f"document.querySelector('figcaption').textContent === {json.dumps(f'Map of {fourth.label}')}")
    assert difference(tab, cam, photo, 0.7) <= 1
    assert fourth.label in tab.run("document.querySelector('canvas').ariaLabel")


def test_the_search_finds_any_class(tab: Tab, server: TritonServer, photo: Path) -> None:
    show(tab, photo)
    with Classifier(server.grpc_url, "toy") as classifier:
        last = classifier.classify(photo, top=6).top[-1]
        cam = classifier.cam(photo, last.index)
    assert last.label not in tab.texts(".classes bdi")
    set_value(tab, ".search input", last.label[:-1].upper(), "input")
    assert last.label in tab.texts(".found button")
    tab.click(".found button")
    tab.wait(f"document.querySelector('figcaption').textContent === {json.dumps(f'Map of {last.label}')}")
    assert difference(tab, cam, photo, 0.7) <= 1
    assert tab.texts(".classes bdi")[-1] == last.label
    set_value(tab, ".search input", "no such label", "input")
    assert tab.texts(".found") == ["no such class"]


def test_two_versions_are_shown_side_by_side_and_share_the_class(tab: Tab, server: TritonServer, photo: Path) -> None:
    show(tab, photo)
    set_value(tab, "#second", "1", "change")
    tab.wait("document.querySelectorAll('.panel').length === 2")
    assert tab.texts(".panel h3") == ["Version 2", "Version 1"]
    for panel, version in enumerate(("2", "1"), start=1):
        with Classifier(server.grpc_url, "toy", version=version) as classifier:
            expected = classifier.classify(photo)
        assert tab.texts(f".panel:nth-child({panel}) .classes label") == [
            f"{each.label}\n{each.probability:.1%}" for each in expected.top
        ]
    tops = tab.run("[...document.querySelectorAll('canvas')].map((each) => each.getBoundingClientRect().top)")
    assert tops[0] == tops[1], "side by side"
    tab.click(".panel:nth-child(1) .classes label:nth-of-type(4)")
    label = tab.texts(".panel:nth-child(1) .classes label:nth-of-type(4) bdi")[0]
    tab.wait(
        "[...document.querySelectorAll('figcaption')].every((each) => each.textContent === "
        f"{json.dumps(f'Map of {label}')})"
    )
    with Classifier(server.grpc_url, "toy", version="1") as classifier:
        index = classifier.class_index(label)
        drawn = classifier.cam(photo, index).overlay(photo, size=(427, 640))
    assert np.abs(canvas(tab, 1) - np.asarray(drawn)).max() <= 1
    assert tab.complaints == []


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_an_image_can_be_dropped_and_pasted(tab: Tab, photo: Path, event: str) -> None:
    kind, carrier = ("DragEvent", "dataTransfer") if event == "drop" else ("ClipboardEvent", "clipboardData")
    data = base64.b64encode(photo.read_bytes()).decode()
    tab.run(
        f"""(() => {{
        const bytes = Uint8Array.from(atob({json.dumps(data)}), (each) => each.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "dropped.png"));
        document.body.dispatchEvent(new {kind}({json.dumps(event)}, {{ {carrier}: transfer, bubbles: true }}));
        }})()"""
    )
    tab.wait("document.getElementById('status').textContent.startsWith('dropped.png (640')")


def test_what_is_no_image_is_an_error_that_the_next_image_removes(tab: Tab, photo: Path, tmp_path: Path) -> None:
    show(tab, photo)
    text = tmp_path / "text.png"
    text.write_text("no image")
    tab.choose_file("#file", text)
    tab.wait("document.querySelector('#error .note') !== null")
    (shown,) = tab.texts("#error")
    assert shown.startswith("text.png: the image of 8 bytes")
    assert tab.texts(".panel") == [], "the answers of another image are not shown beside the error"
    assert "Traceback" not in shown
    show(tab, photo)
    assert tab.texts("#error .note") == []


def test_labels_are_text(tab: Tab, photo: Path) -> None:
    show(tab, photo)
    set_value(tab, ".search input", "attacked", "input")
    assert tab.texts(".found button") == [LABELS[4]]
    assert tab.run("typeof attacked") == "undefined"


def test_the_policy_allows_nothing_from_outside(tab: Tab, page: PageServer) -> None:
    tab.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">')")
    outcome = tab.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    assert outcome == "refused"
    tab.run("(() => { const added = document.createElement('script'); added.textContent = 'attacked = 1';"
        "document.body.append(added); })()")  # fmt: skip
    assert tab.run("typeof attacked") == "undefined"
    assert len([each for each in tab.complaints if "Content Security Policy" in each]) >= 3
    assert all(address.startswith(page.url) for address in tab.requests if "127.0.0.1:9/" not in address)


def test_the_page_fits_every_width(tab: Tab, photo: Path) -> None:
    show(tab, photo)
    for versions in (1, 2):
        if versions == 2:
            set_value(tab, "#second", "1", "change")
            tab.wait("document.querySelectorAll('.panel').length === 2")
        for width in (320, 390, 768, 1280):
            tab.resize(width, 800)
            assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.complaints == []


def test_every_control_has_a_label(tab: Tab, photo: Path) -> None:
    show(tab, photo)
    nameless = tab.run(
        "[...document.querySelectorAll('input, select, button, canvas, fieldset')].filter((each) => !(each.ariaLabel"
        " || each.labels?.length || each.textContent.trim())).map((each) => each.outerHTML)"
    )
    assert nameless == []


def test_a_server_that_goes_away_is_an_error_until_it_is_back(
    browser: Browser, server: TritonServer, photo: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    publish(write_toy_bundle(tmp_path / "bundle", top_k=1, all_maps=True), repository)
    with DisposableServer(repository) as first:
        url = first.grpc_url
        with open_page(url, "toy", timeout=0.5) as page:
            tab = opened(browser, page)
            show(tab, photo)
            best = tab.run("document.querySelector('.classes :checked').value")
            first.stop(grace=0)
            tab.click(".classes label:nth-of-type(2)")
            tab.wait("document.querySelector('.panel .note') !== null")
            assert url in tab.texts(".panel .note")[0]
            assert tab.run("document.querySelector('.classes :checked').value") == best, "whose map is still shown"
            tab.choose_file("#file", photo)
            tab.wait("document.querySelector('#error .note') !== null")
            assert url in tab.texts("#error")[0]
            with DisposableServer(repository, grpc_port=int(url.rpartition(":")[2])):
                tab.wait("document.querySelector('#error .note') === null")
                tab.wait("document.getElementById('status').textContent.startsWith('china.png (640')")
