"""Files of serving options: what is written is read again, and errors name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from camserve.errors import UsageError
from camserve.serving import OptionFile, Resource, read_option_file, write_option_file
from camserve.serving.config.named_options import DEFAULTS

_CHANGED: dict[str, Any] = {
    "instances": 2,
    "batch_sizes": (1, 8),
    "versions": (3, 5),
    "queue_timeout_override": True,
    "gpu_mem_limit": 2**30,
    "tensorrt_cache_path": 'C:\\cache "a"\x7f é',
    "rate_limiter_resources": (Resource(name="disk", count=2, shared=True),),
}


def _read(tmp_path: Path, text: str) -> OptionFile:
    path = tmp_path / "tuned.toml"
    path.write_text(text, encoding="utf-8")
    return read_option_file(path)


@pytest.mark.parametrize("options", [{}, dict(DEFAULTS), _CHANGED])
def test_what_is_written_is_read_again(options: dict[str, Any], tmp_path: Path) -> None:
    write_option_file(tmp_path / "f.toml", backend="onnxruntime", options=options, comments=["a\nb", "[options]", ""])
    assert read_option_file(tmp_path / "f.toml") == OptionFile("onnxruntime", options)
    assert (tmp_path / "f.toml").read_text().splitlines()[:3] == ["# a\\nb", "# [options]", "#"]


def test_texts_are_parsed_as_set_parses_them(tmp_path: Path) -> None:
    text = '[options]\ngpu_mem_limit = "8G"\nbatch_sizes = "1,8"\nthreads = "none"\ncpu_fallback = "off"\n'
    expected = {"gpu_mem_limit": 8 * 2**30, "batch_sizes": (1, 8), "threads": None, "cpu_fallback": False}
    assert _read(tmp_path, text) == OptionFile(None, expected)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[options]\nmax_batch = 8\n", "unknown serving option 'max_batch'", "Did you mean 'max_batch_size'?"),
        ('[options]\n"a=b" = "c"\n', "unknown serving option 'a=b'", "The options are: max_batch_size"),
        ("[options]\ninstances = 1.5\n", "instances must be a whole number, got 1.5", "Pass e.g. instances="),
        ("[options]\nmax_batch_size = 0\n", "max_batch_size must be from 1 to 4096, got 0", ""),
        ("[options]\ninstances = 1\ninstances = 2\n", "is not a TOML file: ", "Write lines such as"),
        ("instances = 2\n", "instances is not below [options]", "Write the line [options] before it"),
        ("[option]\ninstances = 2\n", "unknown key 'option'", "Did you mean 'options'?"),
        ("options = 3\n", "options must be a table", "Write the line [options]"),
        ('backend = "onnx"\n', 'unknown backend "onnx"', "Choose onnxruntime"),
        ("backend = [1]\n", "unknown backend [1]", "Choose onnxruntime"),
    ],
)
def test_an_error_names_the_file_and_what_to_do(text: str, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, text)
    assert str(tmp_path / "tuned.toml") in caught.value.message
    assert message in caught.value.message
    assert str(caught.value.hint or "").startswith(hint)


@pytest.mark.parametrize(("name", "why"), [("missing.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        read_option_file(tmp_path / name)


@pytest.mark.parametrize(
    ("backend", "options"), [("onnx", {}), (None, {"instance": 1}), (None, {"instances": "2"})], ids=str
)
def test_nothing_invalid_is_written(backend: str | None, options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_option_file(tmp_path / "f.toml", backend=backend, options=options)
    assert list(tmp_path.iterdir()) == []
