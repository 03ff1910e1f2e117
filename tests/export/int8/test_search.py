"""The search for the cheapest layers in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from camserve.export.int8.search import Search

ORDER = tuple("abcdefghijkl")


def search_for(suffices: Callable[[Sequence[str]], bool], layers: Sequence[str] = ORDER) -> Search:
    """Return a search among layers of equal cost, each less harmful than the one before."""
    errors = {layer: 1.0 / place for place, layer in enumerate(layers, start=1)}
    return Search(errors, dict.fromkeys(layers, 1), suffices)


class Needs:
    """Whether some layers contain those that must be float32, and how often that was asked."""

    def __init__(self, needed: str) -> None:
        self.needed = set(needed)
        self.calls = 0

    def __call__(self, layers: Sequence[str]) -> bool:
        self.calls += 1
        return self.needed <= set(layers)


@pytest.mark.parametrize("needed", ["", "a", "abc", "f", "bd", "abcdef"])
def test_only_needed_layers_are_chosen(needed: str) -> None:
    assert search_for(Needs(needed)).cheapest() == tuple(needed)


def test_layers_are_tried_by_bisection() -> None:
    needs = Needs("abc")
    search_for(needs, tuple(map(str, range(1000))) + ORDER).cheapest()
    assert needs.calls == 1  # half of the layers do not suffice
    needs = Needs("0")
    assert search_for(needs, [str(number) for number in range(1000)]).cheapest() == ("0",)
    assert needs.calls <= 11


def test_more_than_half_of_the_layers_are_never_chosen() -> None:
    search = search_for(Needs("g"))
    assert search.cheapest() is None
    assert search.more("abcd") is None


def test_twice_as_many_layers_are_chosen_after_a_refusal() -> None:
    search = search_for(Needs(""))
    assert search.more(()) == ("a",)
    assert search.more(("b",)) == ("b", "a")
    assert search.more(("b", "a", "d")) == ("b", "a", "d", "c", "e", "f")
    assert search_for(Needs(""), [*map(str, range(160))]).more(()) == tuple(map(str, range(10)))


def test_cheap_layers_are_preferred_to_an_expensive_one() -> None:
    errors = {"expensive": 10.0, "b": 4.0, "c": 4.0, "d": 4.0, "e": 0.5, "f": 0.5, "g": 0.5, "h": 0.5}
    costs = {**dict.fromkeys(errors, 1), "expensive": 100}
    search = Search(errors, costs, lambda chosen: sum(errors[layer] for layer in chosen) >= 8)
    assert search.cheapest() == ("b", "c")


def test_an_expensive_layer_is_chosen_if_cheap_ones_do_not_suffice() -> None:
    errors = {"expensive": 1000.0, **dict.fromkeys("bcdefgh", 1.0)}
    costs = {**dict.fromkeys("bcdefgh", 1), "expensive": 100}
    assert Search(errors, costs, lambda chosen: "expensive" in chosen).cheapest() == ("expensive",)


def test_the_most_expensive_layers_are_removed_first() -> None:
    errors = {"a": 9.0, "b": 16.0, "c": 1.9, "d": 1.0, "e": 0.1, "f": 0.1, "g": 0.1, "h": 0.1}
    costs = {**dict.fromkeys(errors, 1), "a": 3, "b": 8}
    assert Search(errors, costs, lambda chosen: len(chosen) >= 2 and "c" in chosen).cheapest() == ("a", "c")


WITH_A_DEAR_LAYER = {"dear": 30.0, **dict.fromkeys("abcdefghijk", 2.0)}
COSTS = {**dict.fromkeys(WITH_A_DEAR_LAYER, 1), "dear": 10}


def test_more_cheap_layers_replace_a_dear_one() -> None:
    search = Search(WITH_A_DEAR_LAYER, COSTS, lambda chosen: len(chosen) >= 5)
    assert search.cheapest() == tuple("abcde")


@pytest.mark.parametrize("others", ["never suffice", "suffice, but cost more"])
def test_a_dear_layer_stays_if_others_are_no_better(others: str) -> None:
    def suffices(chosen: Sequence[str]) -> bool:
        return ("dear" in chosen and len(chosen) >= 4) or (others != "never suffice" and len(chosen) >= 6)

    costs = dict.fromkeys(COSTS, 5) | {"dear": 10}
    errors = dict.fromkeys(costs, 10.0) | {"dear": 30.0}
    assert Search(errors, costs, suffices).cheapest() == ("dear", "a", "b", "c")
