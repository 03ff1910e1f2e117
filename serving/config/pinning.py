"""The versions that a configuration names one by one, in place of a policy that would look into the folder.

A version that stands in a model's folder is served by Triton at its next look, whatever the configuration is made for.
A configuration that names its versions and their labels leaves Triton no choice: what is served changes at the one
moment when `config.pbtxt` is replaced, and not before. What was wished for (the latest two, say) is kept beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.bundle import LABELS_NAME

__all__ = ["chosen_versions", "pin", "unpinned"]

_WISH = "camserve.version_policy"
_LABELS = re.compile(rf"[0-9]+/{re.escape(LABELS_NAME)}", re.ASCII)


def pin(config: Any, versions: Collection[int]) -> None:
    """Has a configuration name the versions it serves and the labels of the highest, and keeps its policy as the wish.

    Args:
        config: A message whose policy is the wish, as `unpinned` gives it; it is changed.
        versions: The versions to serve; at least one.
    """
    wish = config.version_policy
    config.parameters[_WISH].string_value = text_format.MessageToString(wish, as_one_line=True)
    config.version_policy.Clear()
    config.version_policy.specific.versions.extend(sorted(versions))
    for output in config.output:
        if output.label_filename == LABELS_NAME:
            output.label_filename = f"{max(versions)}/{LABELS_NAME}"


def unpinned(config: Any) -> Any:
    """A copy with the policy that was wished for; of a configuration that is not pinned, a plain copy.

    Raises:
        text_format.ParseError: If the wish is no version policy.
    """
    wished = model_config_pb2.ModelConfig()
    wished.CopyFrom(config)
    if _WISH in wished.parameters:
        wish = wished.parameters.pop(_WISH).string_value
        # A policy that was written over the pins by hand is the latest wish.
        if wished.version_policy.WhichOneof("policy_choice") == "specific":
            wished.version_policy.CopyFrom(text_format.Parse(wish, model_config_pb2.ModelVersionPolicy()))
    for output in wished.output:
        if _LABELS.fullmatch(output.label_filename):
            output.label_filename = LABELS_NAME
    return wished


def chosen_versions(policy: Any, versions: Collection[int]) -> tuple[int, ...]:
    """Which of the versions a policy has served, lowest first; Triton's own default is the latest one."""
    numbers = sorted(versions)
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return tuple(numbers)
    if choice == "specific":
        return tuple(number for number in numbers if number in policy.specific.versions)
    return tuple(numbers[-max(1, policy.latest.num_versions) :])
