"""The page of an evaluation in a browser: filters, keys, hostile tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import CHROMIUM, Browser, Tab, open_browser
from support.pages import ANSWERS, write_page_with_maps, write_scored_images
from support.scored_tables import answer

from camserve.clients import Prediction, ScoredRow, evaluate, write_page, write_table

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

WIDE, NARROW = (1400, 1000), (390, 844)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    write_page(evaluate(write_scored_images(folder)), folder / "page.html", images_from=folder)
    return folder / "page.html"


def shown(tab: Tab) -> list[str]:
    return tab.texts("#cards .path")


def status(tab: Tab) -> str:
    (text,) = tab.texts("#status")
    return text


def choose(tab: Tab, name: str, value: str) -> None:
    """Set a filter as a user does."""
    tab.run(
        f"(() => {{ const field = document.forms.filters['{name}']; field.value = {value!r};"
        "field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_the_worst_mistakes_come_first(browser: Browser, page: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(page)
    assert shown(tab) == [f"{name}.png" for name in ("cat/2", "cat/3", "dog/5", "bird/7", "dog/4", "cat/1", "bird/6")]
    assert tab.texts("#cards li:first-child .verdict") == ["✗ wrong\ntrue: cat"]
    assert tab.texts("#cards li:first-child .top li") == ["dog\n90.0%", "cat\n10.0%"]
    assert tab.run("[...document.images].every((image) => image.complete && image.naturalWidth === 30)")
    assert (tab.complaints, len(tab.requests)) == ([], 1)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_cell_of_the_confusion_matrix_filters_the_images(browser: Browser, page: Path, size: tuple[int, int]) -> None:
    tab = browser.tab(*size)
    tab.open(page)
    cell = ".matrix [data-truth='1'][data-predicted='2']"
    assert tab.texts(cell) == ["2"]
    tab.click(cell)
    assert shown(tab) == ["cat/2.png", "cat/3.png"]
    assert status(tab) == "2 of 7 images"
    assert tab.run("location.hash") == "#truth=cat&predicted=dog"
    assert tab.run(f'document.querySelector("{cell}").getAttribute("aria-pressed")') == "true"
    below = tab.run("document.querySelector('#cards li').getBoundingClientRect().top")
    assert below < size[1] - 100, "they are scrolled into view"
    tab.click(cell)
    assert len(shown(tab)) == 7, "a second click shows all again"
    assert tab.complaints == []


def test_the_page_fits_every_width(browser: Browser, page: Path) -> None:
    for width in (320, 390, 768, 1400):
        tab = browser.tab(width, 800)
        tab.open(page)
        assert tab.run("document.documentElement.scrollWidth") <= width


def test_filters_combine(browser: Browser, page: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(page)
    for name, value, expected in (
        ("answer", "wrong", ["cat/2.png", "cat/3.png", "dog/5.png"]),
        ("high", "60", ["cat/3.png", "dog/5.png"]),
        ("low", "35", ["cat/3.png"]),
        ("path", "DOG/", []),
        ("low", "", ["dog/5.png"]),
    ):
        choose(tab, name, value)
        assert shown(tab) == expected
    tab.click("#filters [type=reset]")
    tab.run("new Promise((done) => setTimeout(done))")
    assert len(shown(tab)) == 7
    choose(tab, "answer", "error")
    assert (shown(tab), tab.texts("#cards .message")) == (["bird/7.png"], ["bird/7.png is truncated"])
    choose(tab, "answer", "")
    choose(tab, "order", "lowest")
    assert shown(tab)[0] == "dog/5.png"


def test_bars_of_the_diagram_and_classes_filter(browser: Browser, page: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(page)
    tab.click("[data-low='80'] .reach")
    assert shown(tab) == ["cat/2.png"], "above 80 % and at most 90 %, as the bar counts"
    tab.click("[data-low='90'] .reach")
    assert shown(tab) == ["cat/1.png", "bird/6.png"], "above 100 % by rounding in float32"
    tab.click("[data-low='90'] .reach")
    tab.click(".classes [data-truth='2']")
    assert shown(tab) == ["dog/5.png", "dog/4.png"]


def test_the_address_restores_a_view(browser: Browser, page: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(page, "#truth=cat&answer=wrong&order=lowest&predicted=unknown")
    assert shown(tab) == ["cat/3.png", "cat/2.png"]


def test_keys_move_in_the_matrix_and_select(browser: Browser, page: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(page)
    assert tab.run("document.querySelectorAll('.matrix [tabindex=\"0\"]').length") == 1
    tab.run("document.querySelector('.matrix [tabindex=\"0\"]').focus()")
    for key, expected in (
        ("ArrowRight", "true class bird, best class bird: 1 image"),  # it is alone in its row
        ("ArrowDown", "true class dog, best class bird: 1 image"),  # the cell between is empty
        ("ArrowRight", "true class dog, best class dog: 1 image"),
    ):
        tab.press(key)
        assert tab.run("document.activeElement.ariaLabel") == expected
    tab.press("Enter")
    assert shown(tab) == ["dog/4.png"]


def test_the_table_of_classes_is_sorted(browser: Browser, page: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(page)
    assert tab.texts(".classes tbody th") == ["bird", "cat", "dog"]
    tab.click(".classes thead th:nth-child(3) button")
    assert tab.texts(".classes tbody tr td:nth-child(3)") == ["33.33%", "50.00%", "100.00%"]
    tab.click(".classes thead th:nth-child(3) button")
    assert tab.texts(".classes tbody th") == ["cat", "bird", "dog"]


def test_many_rows_are_shown_in_pages(browser: Browser, tmp_path: Path) -> None:
    rows = [answer(f"cat/{number:04}.png", ("cat", 0.5), ("dog", 0.4)) for number in range(5000)]
    table = write_scored_images(tmp_path, rows[:1])
    write_table(table, rows, top=2)
    write_page(evaluate(table), tmp_path / "page.html", images=5000)
    tab = browser.tab(*WIDE)
    tab.open(tmp_path / "page.html", "#order=path")
    assert (len(shown(tab)), tab.texts(".bar .range")) == (48, ["1–48"])
    tab.click(".bar [data-step='1']")
    assert shown(tab)[0] == "cat/0048.png"
    choose(tab, "path", "4999")
    assert (shown(tab), tab.texts(".pager")) == (["cat/4999.png"], [])
    assert tab.texts(".absent") == ["No image: cat/4999.png does not exist"]


def test_the_page_tells_how_many_rows_of_the_table_it_lacks(browser: Browser, tmp_path: Path) -> None:
    rows = [answer(f"cat/{number}.png", ("dog", 0.9), ("cat", 0.1)) for number in range(20)]
    rows += [answer(f"dog/{number}.png", ("dog", 0.9), ("cat", 0.1)) for number in range(20)]
    write_table(tmp_path / "answers.csv", rows, top=2)
    write_page(evaluate(tmp_path / "answers.csv"), tmp_path / "page.html", images=10)
    tab = browser.tab(*WIDE)
    tab.open(tmp_path / "page.html", "#truth=cat&predicted=dog")
    assert status(tab) == "6 of 10 images (20 such rows in the table)"


HOSTILE = "</script><script>attacked = 1</script><img src=x onerror=attacked=1>\"'&\u202e"


def test_a_hostile_table_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "")
    prediction = Prediction(0, HOSTILE, 0.9), Prediction(1, "__proto__", 0.1)
    rows = [ScoredRow(f"{HOSTILE}/{name}{number}.png", prediction) for number in range(3)]
    rows.append(ScoredRow(f"x/{name}.png", error=HOSTILE))
    (tmp_path / "truth.csv").write_text("path,label\n" + "".join(f'"{each.path.replace(chr(34), chr(34) * 2)}",'
        f'"{HOSTILE.replace(chr(34), chr(34) * 2)}"\n' for each in rows))  # fmt: skip
    write_table(tmp_path / "answers.csv", rows, top=2)
    write_page(evaluate(tmp_path / "answers.csv", truth=tmp_path / "truth.csv"), tmp_path / "page.html")
    tab = browser.tab(*WIDE)
    tab.open(tmp_path / "page.html", "#truth=<img src=x onerror=attacked=1>")
    tab.click(".matrix button")
    assert len(shown(tab)) == 3
    assert tab.texts("#cards .top bdi")[0].startswith("</script><script>attacked = 1")
    assert "\\u202e" in shown(tab)[0], "characters that reorder text are escaped"
    assert tab.run("[typeof attacked, document.scripts.length, document.images.length]") == ["undefined", 2, 0]
    assert (tab.complaints, len(tab.requests)) == ([], 1)


def test_the_policy_refuses_planted_scripts_and_addresses(browser: Browser, page: Path, tmp_path: Path) -> None:
    planted = "<script>attacked = 1</script><img src='http://127.0.0.1:9/x.png'><b onclick='attacked = 1'>b</b></body>"
    attacked = tmp_path / "page.html"
    attacked.write_text(page.read_text().replace("</body>", planted))
    tab = browser.tab(*WIDE)
    tab.open(attacked)
    assert tab.run("typeof attacked") == "undefined"
    assert len(tab.complaints) >= 2
    assert len(shown(tab)) == len(ANSWERS), "the page itself works"


def test_maps_can_be_switched_off_and_made_transparent(browser: Browser, tmp_path: Path) -> None:
    tab = browser.tab(*WIDE)
    tab.open(write_page_with_maps(tmp_path))
    opacity = "getComputedStyle(document.querySelector('#cards .map')).opacity"
    assert tab.run(opacity) == "0.7", "as camserve classify --cam-dir draws them"
    tab.run("(() => { const slider = document.getElementById('opacity'); slider.value = 30;"
        "slider.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert tab.run(opacity) == "0.3"
    tab.click("#maps")
    assert tab.run("document.querySelector('#cards .map').checkVisibility()") is False
    assert tab.complaints == []
