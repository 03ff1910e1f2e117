"""Version policies that name each version that Triton serves.

Triton serves a new version folder at its next poll if the version policy includes it, even before the configuration is
written for it. A configuration that names its versions and their labels changes what is served only at the moment when
`config.pbtxt` is replaced. The requested policy, such as the latest two versions, is stored beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from camserve.bundle import LABELS_NAME

__all__ = ["chosen_versions", "pin", "pinned_to", "unpinned"]

_REQUESTED = "camserve.version_policy"
_LABELS = re.compile(rf"[0-9]+/{re.escape(LABELS_NAME)}", re.ASCII)


def pin(config: Any, versions: Collection[int]) -> None:
    """Make a configuration name the versions it serves and the labels of the highest, and store the requested policy.

    Args:
        config: A message with the requested policy, as `unpinned` returns it; it is changed.
        versions: The versions to serve, at least one.
    """
    policy = config.version_policy
    config.parameters[_REQUESTED].string_value = text_format.MessageToString(policy, as_one_line=True)
    config.version_policy.Clear()
    config.version_policy.specific.versions.extend(sorted(versions))
    for output in config.output:
        if output.label_filename == LABELS_NAME:
            output.label_filename = f"{max(versions)}/{LABELS_NAME}"


def unpinned(config: Any) -> Any:
    """Copy a configuration with the requested version policy in place of the versions that it names.

    Raises:
        text_format.ParseError: If the stored policy is invalid.
    """
    copy = model_config_pb2.ModelConfig()
    copy.CopyFrom(config)
    if _REQUESTED in copy.parameters:
        policy = copy.parameters.pop(_REQUESTED).string_value
        # Any other policy is a manual edit, and is the one that is requested now.
        if copy.version_policy.WhichOneof("policy_choice") == "specific":
            copy.version_policy.CopyFrom(text_format.Parse(policy, model_config_pb2.ModelVersionPolicy()))
    for output in copy.output:
        if _LABELS.fullmatch(output.label_filename):
            output.label_filename = LABELS_NAME
    return copy


def pinned_to(config: Any, versions: Collection[int]) -> Any:
    """Copy a configuration so that it names the versions to serve.

    The labels of one that was not pinned stay where they are: it was written by hand.

    Args:
        config: A message, pinned or not.
        versions: The versions to serve, at least one.

    Raises:
        text_format.ParseError: If the stored policy is invalid.
    """
    if _REQUESTED in config.parameters:
        copy = unpinned(config)
        pin(copy, versions)
        return copy
    copy = model_config_pb2.ModelConfig()
    copy.CopyFrom(config)
    copy.version_policy.Clear()
    copy.version_policy.specific.versions.extend(sorted(versions))
    return copy


def chosen_versions(policy: Any, versions: Collection[int]) -> tuple[int, ...]:
    """Return the versions that a policy serves, lowest first. Triton's default policy is the latest version."""
    numbers = sorted(versions)
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return tuple(numbers)
    if choice == "specific":
        return tuple(number for number in numbers if number in policy.specific.versions)
    return tuple(numbers[-max(1, policy.latest.num_versions) :])
