"""Configurations that name their versions."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from support.toy import toy_contract
from tritonclient.grpc import model_config_pb2

from camserve.serving import ServingOptions
from camserve.serving.config.message import build_config
from camserve.serving.config.pinning import chosen_versions, pin, unpinned

CONTRACT = toy_contract(name="toy", size=(8, 8), channels=3, classes=4, preset="unit", top_k=3)


@pytest.mark.parametrize("options", [{}, {"latest_versions": 3}, {"versions": "all"}, {"versions": (2, 5)}])
def test_what_was_wished_for_comes_back(options: dict[str, object]) -> None:
    wished = build_config(CONTRACT, list("abcd"), ServingOptions(**options))  # type: ignore[arg-type]
    config = unpinned(wished)
    assert config == wished
    pin(config, [7, 5])
    assert list(config.version_policy.specific.versions) == [5, 7]
    assert {output.label_filename for output in config.output} == {"7/labels.txt", ""}
    assert unpinned(config) == wished


def test_a_policy_that_was_written_by_hand_is_the_wish() -> None:
    config = build_config(CONTRACT, list("abcd"), ServingOptions())
    pin(config, [1])
    config.version_policy.latest.num_versions = 4
    assert unpinned(config).version_policy.latest.num_versions == 4


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
