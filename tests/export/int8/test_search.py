"""The search for the fewest layers in float32."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from camserve.export.int8.search import Search

ORDER = tuple("abcdefghijkl")


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
    assert Search(ORDER, Needs(needed)).fewest() == tuple(needed)


def test_layers_are_tried_by_bisection() -> None:
    needs = Needs("abc")
    Search(tuple(map(str, range(1000))) + ORDER, needs).fewest()
    assert needs.calls == 1  # half of the layers do not suffice
    needs = Needs("0")
    assert Search([str(number) for number in range(1000)], needs).fewest() == ("0",)
    assert needs.calls <= 11


def test_more_than_half_of_the_layers_are_never_chosen() -> None:
    search = Search(ORDER, Needs("g"))
    assert search.fewest() is None
    assert search.more("abcd") is None


def test_twice_as_many_layers_are_chosen_after_a_refusal() -> None:
    search = Search(ORDER, Needs(""))
    assert search.more(()) == ("a",)
    assert search.more(("b",)) == ("b", "a")
    assert search.more(("b", "a", "d")) == ("b", "a", "d", "c", "e", "f")
    assert Search([*map(str, range(160))], Needs("")).more(()) == tuple(map(str, range(10)))
