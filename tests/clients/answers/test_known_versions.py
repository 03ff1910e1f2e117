"""Known versions of a model, and queries across a hot swap."""

from __future__ import annotations

import pytest
from support.client_models import model_of
from support.toy import toy_contract

from camserve.clients.answers.known_versions import TRUSTED_SECONDS, KnownVersions, check_prepared, check_same
from camserve.clients.answers.served_model import Model
from camserve.contract import ModelContract
from camserve.errors import ContractError

URL = "127.0.0.1:8001"
ONE, TWO = model_of(version="1"), model_of(version="2")


def test_a_version_is_known_at_its_server_only() -> None:
    known = KnownVersions(ONE).with_version(URL, TWO, now=100.0)
    assert known.model_at(URL, "2", now=100.0) is TWO
    assert known.model_at(URL, "1", now=100.0) is None
    assert known.model_at("127.0.0.1:9001", "2", now=100.0) is None
    assert KnownVersions(ONE).model_at(URL, "2", now=0.0) is None


def test_an_old_version_expires() -> None:
    known = KnownVersions(ONE).with_version(URL, ONE, now=100.0)
    assert known.model_at(URL, "1", now=100.0 + TRUSTED_SECONDS / 2) is ONE
    assert known.model_at(URL, "1", now=100.0 + TRUSTED_SECONDS) is None
    later = known.with_version(URL, TWO, now=101.0 + TRUSTED_SECONDS)
    assert list(later.read) == [(URL, "2")]


def test_a_removed_version_is_unknown() -> None:
    known = KnownVersions(ONE).with_version(URL, ONE, now=0.0).with_version(URL, TWO, now=0.0).without(URL, "1")
    assert known.model_at(URL, "1", now=0.0) is None
    assert known.model_at(URL, "2", now=0.0) is TWO


def test_an_equal_model_is_kept_once() -> None:
    known = KnownVersions(ONE).with_version(URL, TWO, now=0.0)
    assert known.deduplicated(model_of(version="1")) is ONE
    assert known.deduplicated(model_of(version="2")) is TWO
    for other in (model_of(version="3"), model_of(labels=("e", "f", "g", "h")), model_of(toy_contract(all_maps=True))):
        assert known.deduplicated(other) is other


def test_queries_follow_newer_versions_only() -> None:
    ten = model_of(version="10")
    assert KnownVersions(ONE).with_newer(TWO).current is TWO
    assert KnownVersions(TWO).with_newer(ten).current is ten
    assert KnownVersions(ten).with_newer(TWO).current is ten
    assert KnownVersions(TWO).with_current(ONE).current is ONE


def test_known_versions_are_immutable() -> None:
    known = KnownVersions(ONE)
    known.with_version(URL, TWO, now=0.0).with_current(TWO)
    assert (known.current, dict(known.read)) == (ONE, {})


@pytest.mark.parametrize(
    ("replying", "why"),
    [
        (model_of(version="2", labels=("a", "b", "c", "x")), "labels change: class 3 changes from 'd' to 'x'"),
        (model_of(version="2", labels=("a", "b", "c", "n1\td")), "labels change"),
        (model_of(toy_contract(preset="raw-rgb"), version="2"), "preprocessing changes"),
        (model_of(toy_contract(size=(9, 8)), version="2"), "input changes"),
        (model_of(toy_contract(classes=5), version="2", labels=tuple("abcde")), "classes changes"),
        (model_of(toy_contract(top_k=2), version="2"), "output cam changes"),
        (model_of(toy_contract().model_copy(update={"activation": "sigmoid"}), version="2"), "activation changes"),
    ],
)
def test_a_reply_of_an_incompatible_version_is_refused(replying: Model, why: str) -> None:
    with pytest.raises(ContractError, match=rf"{URL} was replaced .* version 2 .* than version 1 \({why}") as caught:
        check_same(ONE, replying, ("probabilities", "cam"), URL)
    assert "next call" in str(caught.value)


@pytest.mark.parametrize(
    "replying",
    [
        TWO,
        model_of(toy_contract(all_maps=True), version="2"),
        model_of(toy_contract(name="another"), version="2"),
        model_of(toy_contract(top_k=2), version="2"),  # no map is requested
        model_of(version="2", max_batch_size=2),
    ],
)
def test_a_reply_of_a_compatible_version_is_accepted(replying: Model) -> None:
    check_same(ONE, replying, ("probabilities",), URL)


@pytest.mark.parametrize(
    ("prepared_for", "why"),
    [
        (toy_contract(preset="raw-rgb"), "preprocessing changes"),
        (toy_contract(size=(9, 8)), "input changes"),
        (toy_contract(classes=5), "classes changes"),
        (toy_contract(top_k=2), "output cam changes"),
    ],
)
def test_a_batch_for_another_contract_is_refused(prepared_for: ModelContract, why: str) -> None:
    with pytest.raises(ContractError, match=rf"prepared for an earlier contract .*version 2 .*\({why}") as caught:
        check_prepared(prepared_for, TWO, ("probabilities", "cam"))
    assert "again" in str(caught.value.hint)


@pytest.mark.parametrize(
    "prepared_for",
    [toy_contract(), toy_contract(all_maps=True), toy_contract(name="another"), toy_contract(top_k=2)],
)
def test_a_batch_for_a_compatible_contract_is_accepted(prepared_for: ModelContract) -> None:
    check_prepared(prepared_for, model_of(version="2", labels=tuple("wxyz")), ("probabilities",))
