"""Configurations that name their versions."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from support.toy import toy_contract
from tritonclient.grpc import model_config_pb2

from camserve.serving import ServingOptions
from camserve.serving.config.message import build_config
from camserve.serving.config.named_options import make_options
from camserve.serving.config.pinning import chosen_versions, pin, pinned_to, unpinned

CONTRACT = toy_contract(name="toy", size=(8, 8), channels=3, classes=4, preset="unit", top_k=3)


@pytest.mark.parametrize("options", [{}, {"latest_versions": 3}, {"versions": "all"}, {"versions": (2, 5)}])
def test_the_requested_policy_is_restored(options: dict[str, object]) -> None:
    requested = build_config(CONTRACT, list("abcd"), make_options(options))
    config = unpinned(requested)
    assert config == requested
    pin(config, [7, 5])
    assert list(config.version_policy.specific.versions) == [5, 7]
    assert {output.label_filename for output in config.output} == {"7/labels.txt", ""}
    assert unpinned(config) == requested


def test_a_manually_edited_policy_is_the_requested_one() -> None:
    config = build_config(CONTRACT, list("abcd"), ServingOptions())
    pin(config, [1])
    config.version_policy.latest.num_versions = 4
    assert unpinned(config).version_policy.latest.num_versions == 4


def test_labels_follow_the_versions_only_if_the_configuration_was_pinned() -> None:
    config = build_config(CONTRACT, list("abcd"), make_options({"versions": "all"}))
    by_hand = pinned_to(config, [3, 2])
    assert {output.label_filename for output in by_hand.output} == {"labels.txt", ""}
    pin(config, [1])
    pinned = pinned_to(config, [3, 2])
    assert {output.label_filename for output in pinned.output} == {"3/labels.txt", ""}
    assert list(by_hand.version_policy.specific.versions) == list(pinned.version_policy.specific.versions) == [2, 3]
    assert unpinned(pinned).version_policy.WhichOneof("policy_choice") == "all"


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", (9,)),
        ("latest { num_versions: 2 }", (3, 9)),
        ("latest { num_versions: 9 }", (1, 3, 9)),
        ("all { }", (1, 3, 9)),
        ("specific { versions: [3, 4] }", (3,)),
    ],
)
def test_a_policy_chooses_as_triton_does(policy: str, chosen: tuple[int, ...]) -> None:
    message = text_format.Parse(policy, model_config_pb2.ModelVersionPolicy())
    assert chosen_versions(message, {3, 9, 1}) == chosen
