"""Checks of the arguments of a classifier."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from camserve.argument_checks import check_type
from camserve.clients.answers.served_model import Overrides
from camserve.clients.observing.metrics import Metrics
from camserve.contract import ModelContract
from camserve.errors import BundleError, UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import is_one_image
from camserve.labels import LabelSource, parse_labels
from camserve.text import printable, shortened
from camserve.tls import ClientTls

__all__ = ["check_arguments", "check_several", "overrides_of", "parse_version"]

_VERSION_DIGITS = 19  # Triton's versions have 64 bits
_CONTRACT = "the contract.json of a bundle, or a ModelContract"
_HEADERS = "a mapping of header names to strings"
_NAMES = "a mapping of the tensor names in the contract to those of the model"
_SHARED_MEMORY = 'True, False or "auto"'
_ADDRESS = "HOST:PORT, e.g. localhost:8001, or a list of such strings"

_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "url": ((str, Sequence), _ADDRESS),
    "model": (str, "the name of a served model, as a string"),
    "pin_version": (bool, "True or False"),
    "timeout": (Real, "a number of seconds"),
    "connect_timeout": (Real, "a number of seconds"),
    "retries": (Integral, "an integer from 0 to 5"),
    "tls": (ClientTls, 'ClientTls(), or ClientTls(ca="ca.pem")'),
    "token": (str, "a string"),
    "headers": (Mapping, _HEADERS),
    "shared_memory": ((bool, str), _SHARED_MEMORY),
    "decode_options": (DecodeOptions, "DecodeOptions(), or DecodeOptions(exif=True)"),
    "metrics": (Metrics, "Metrics()"),
    "contract": ((ModelContract, str, os.PathLike), _CONTRACT),
    "names": (Mapping, _NAMES),
}
_OPTIONAL = {"retries", "tls", "token", "headers", "metrics", "contract", "names"}


def check_arguments(**arguments: object) -> None:
    """Check the types, but not the values, of arguments of `BaseClassifier`.

    Raises:
        UsageError: If one has another type.
    """
    for name, value in arguments.items():
        if value is not None or name not in _OPTIONAL:
            check_type(name, value, *_TYPES[name])
            _check_items(name, value)


def parse_version(version: str | int) -> str:
    """Return a version in the form of Triton's protocol; empty for the newest.

    Raises:
        UsageError: If it is not a number.
    """
    hint = "an integer, e.g. 3, or omit it for the newest"
    check_type("version", version, (str, Integral), hint)
    try:
        text = str(version)
    except ValueError:  # Python converts numbers of at most 4,300 digits
        text = "a number of thousands of digits"
    if text and not (text.isascii() and text.isdecimal() and len(text) <= _VERSION_DIGITS):
        raise UsageError(
            f"version must be an integer of at most {_VERSION_DIGITS} digits, got {shortened(text)!r}",
            hint=f"Pass {hint}",
        )
    return text


def overrides_of(
    contract: ModelContract | str | Path | None, labels: LabelSource | None, names: Mapping[str, str] | None
) -> Overrides:
    """Return what the caller specified about the model.

    Raises:
        UsageError: If the contract or the labels cannot be read.
    """
    return Overrides(_read_contract(contract), _parse_labels(labels), names or {})


def check_several(images: object, *, async_allowed: bool = False) -> None:
    """Check that an argument contains images, and is not one image: a string or an array is iterable, too.

    Args:
        images: The argument.
        async_allowed: Whether it may be an asynchronous iterable.

    Raises:
        UsageError: If it does not.
    """
    if is_one_image(images):
        raise UsageError(
            f"images must be several images, got one of type {type(images).__name__}",
            hint="Pass a list of images, or call classify",
        )
    types = (Iterable, AsyncIterable) if async_allowed else Iterable
    check_type("images", images, types, "a list of images, or another iterable")


def _check_items(name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            check_type(f"a name in {name}", key, str, _TYPES[name][1])
            check_type(f"{name}[{key!r}]", each, str, "a string")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, each in enumerate(value):
            check_type(f"{name}[{index}]", each, str, _TYPES[name][1])


def _parse_labels(labels: LabelSource | None) -> tuple[str, ...] | None:
    try:
        return None if labels is None else parse_labels(labels)
    except UsageError as error:
        raise UsageError(f"invalid labels: {error.message}", hint=error.hint) from None


def _read_contract(contract: ModelContract | str | Path | None) -> ModelContract | None:
    if contract is None:
        return None
    origin = "contract" if isinstance(contract, ModelContract) else printable(contract)
    try:
        # One in Python may be made by model_copy, which checks nothing.
        text = contract.to_json() if isinstance(contract, ModelContract) else Path(contract).read_bytes()
        return ModelContract.from_json(text, origin=origin)
    except OSError as error:
        message = f"cannot read {origin}: {error.strerror}"
    except BundleError as error:
        message = error.message
    raise UsageError(message, hint=f"Pass {_CONTRACT}")
