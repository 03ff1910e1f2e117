"""Failures and warnings in a Triton log."""

from pathlib import Path

import pytest

from camserve.serving.server.log import backend_warning, failures, hints, tail

LOG = r"""I1122 03:50:28.349400 5530 model_lifecycle.cc:472] "loading: toy:1"
E1122 03:50:28.349639 5530 model_lifecycle.cc:642] "failed to load 'toy' version 1: Internal: TritonModelException: the model has no output 'map'; it has cam, logits\n\nAt:\n  /tmp/x/model.py(70): initialize\n"
E1122 03:50:28.349639 5530 model_repository_manager.cc:1460] "Poll failed for model directory 'odd': Invalid model name"
E1122 04:08:53.694690 20143 model_repository_manager.cc:724] "failed to load model 'bare': at least one version must be available under the version policy of model 'bare'"
+-------+---------+
| Model | Version |
error: creating server: Internal - failed to load all models
"""  # noqa: E501 - as Triton writes it


def test_failures_have_no_status_words_and_tracebacks() -> None:
    assert failures(LOG) == (
        "model toy version 1: the model has no output 'map'; it has cam, logits",
        "model bare: at least one version must be available under the version policy of model 'bare'",
        "model odd: Invalid model name",
    )


def test_a_log_without_failures() -> None:
    assert failures(LOG.splitlines()[0]) == ()


def test_the_tail_has_a_start_and_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n" + LOG, encoding="utf-8")
    lines = tail(path, start=len("before\n")).splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("error:")
    assert tail(tmp_path / "none") == ""


def test_hints_of_refusals_are_separate_from_failures() -> None:
    reason = r"Internal: TritonModelException: it lacks CUDA; hint: Run: pip install \'x\'\n\nAt:\n  /m.py(7): load\n"
    log = "".join(
        f"E1122 03:50:28.3 5530 lifecycle.cc:642] \"failed to load '{name}' version 1: {reason}\"\n" for name in "ab"
    )
    assert failures(log) == ("model a version 1: it lacks CUDA", "model b version 1: it lacks CUDA")
    assert hints(log) == ("Run: pip install 'x'",)
    assert hints(LOG) == ()


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ('W1126 23:42:04.845447 18702 model.py:56] "camserve: model a: is slow"', "model a: is slow"),
        ('2026-11-26T23:42:08Z W 19087 model.py:56] "camserve: model a: is slow"', "model a: is slow"),
        (r'W1126 23:42:04.8 1 model.py:56] "camserve: model a: run \'x\'"', "model a: run 'x'"),
        ('I1126 23:42:04.845447 18702 model.py:56] "camserve: model a: is ready"', None),
        ('W1126 23:42:04.845447 18702 metrics.cc:6] "Unable to get power limit"', None),
        ("Traceback (most recent call last):", None),
    ],
)
def test_warnings_are_those_of_the_backends(line: str, warning: str | None) -> None:
    assert backend_warning(line) == warning
