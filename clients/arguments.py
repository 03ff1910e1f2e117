"""What a classifier was told at its making: each argument of the right kind, and what they say of the model."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from camserve.argument_checks import check_type
from camserve.clients.answers.served_model import Overrides
from camserve.clients.images.decode_options import DecodeOptions
from camserve.clients.images.loading import is_one_image
from camserve.clients.observing.metrics import Metrics
from camserve.contract import ModelContract
from camserve.errors import BundleError, UsageError
from camserve.text import printable
from camserve.tls import ClientTls

__all__ = ["check_arguments", "check_several", "given", "version_of"]

_A_CONTRACT = "the contract.json of a bundle, or a ModelContract"
_LABELS = 'a list of strings, one for each class, such as Path("labels.txt").read_text().splitlines()'
_HEADERS = "strings by their names, as a mapping"
_NAMES = "the model's own names by those of the contract, as a mapping of strings"
_ADDRESS = "HOST:PORT, e.g. localhost:8001, or a list of such strings"

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "url": ((str, Sequence), _ADDRESS),
    "model": (str, "the name of a served model, as a string"),
    "timeout": (Real, "a number of seconds"),
    "connect_timeout": (Real, "a number of seconds"),
    "retries": (Integral, "a whole number from 0 to 5"),
    "tls": (ClientTls, 'ClientTls(), or ClientTls(ca="ca.pem")'),
    "token": (str, "a string"),
    "headers": (Mapping, _HEADERS),
    "shared_memory": (bool, "True or False"),
    "decode_options": (DecodeOptions, "DecodeOptions(), or DecodeOptions(exif=True)"),
    "metrics": (Metrics, "Metrics()"),
    "contract": ((ModelContract, str, os.PathLike), _A_CONTRACT),
    "labels": (Sequence, _LABELS),
    "names": (Mapping, _NAMES),
}
_MAY_BE_NONE = {"tls", "token", "headers", "metrics", "contract", "labels", "names"}


def check_arguments(**arguments: object) -> None:
    """Refuses arguments of a classifier that are of another kind than `BaseClassifier` says; values are not judged.

    Raises:
        UsageError: If there are any.
    """
    for name, value in arguments.items():
        if value is not None or name not in _MAY_BE_NONE:
            check_type(name, value, *_KINDS[name])
            _check_within(name, value)


def version_of(version: str | int) -> str:
    """The version as Triton is asked for it; empty for the newest.

    Raises:
        UsageError: If it is no number.
    """
    hint = "a whole number, e.g. 3, or leave it out for the newest"
    check_type("version", version, (str, Integral), hint)
    text = str(version)
    if text and not (text.isascii() and text.isdecimal()):
        raise UsageError(f"version is {text!r}", hint=f"Give {hint}")
    return text


def given(
    contract: ModelContract | str | Path | None, labels: Sequence[str] | None, names: Mapping[str, str] | None
) -> Overrides:
    """What the caller says of the model.

    Raises:
        UsageError: If the contract cannot be read.
    """
    return Overrides(_read_contract(contract), None if labels is None else tuple(labels), names or {})


def check_several(images: object, *, awaited: bool = False) -> None:
    """Refuses one image where several are wanted: a path is a sequence of letters, and an array one of its rows.

    Args:
        images: What was given.
        awaited: Whether an asynchronous iterable will do.

    Raises:
        UsageError: If so.
    """
    if is_one_image(images):
        raise UsageError(
            f"images is one of type {type(images).__name__}, and not several",
            hint="Give a list of images, or call classify",
        )
    kinds = (Iterable, AsyncIterable) if awaited else Iterable
    check_type("images", images, kinds, "a list of images, or another iterable")


def _check_within(name: str, value: object) -> None:
    if name == "labels" and isinstance(value, str | bytes):
        raise UsageError("labels is one string, and not one for each class", hint=f"Give {_LABELS}")
    if isinstance(value, Mapping):
        for key, each in value.items():
            check_type(f"a name in {name}", key, str, _KINDS[name][1])
            check_type(f"{name}[{key!r}]", each, str, "a string")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, each in enumerate(value):
            check_type(f"{name}[{place}]", each, str, _KINDS[name][1])


def _read_contract(contract: ModelContract | str | Path | None) -> ModelContract | None:
    if contract is None or isinstance(contract, ModelContract):
        return contract
    try:
        return ModelContract.from_json(Path(contract).read_bytes(), origin=printable(contract))
    except OSError as error:
        raise UsageError(
            f"{printable(contract)} cannot be read: {error.strerror}", hint=f"Give {_A_CONTRACT}"
        ) from error
    except BundleError as error:
        raise UsageError(error.message, hint=f"Give {_A_CONTRACT}") from error
