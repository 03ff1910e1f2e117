"""What the command line says, character by character."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from camserve.cli.console import Phases, fail, print_json, print_table, track
from camserve.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("chat noir.png", "chat noir.png"),
        ("œil.png", "œil.png"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_a_name_stays_in_one_line_and_can_be_encoded(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_an_error_keeps_its_lines_apart_from_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    fail("it failed; the log:\nline 1\nline 2", "Do this")
    assert capsys.readouterr().err == "error: it failed; the log:\n  line 1\n  line 2\nhint: Do this\n"


def test_json_round_trips_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"path": "\udcff\n[bold]œ"}
    print_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == value


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("label", "class "), [("[red]fox[/red]", 3)])
    assert "[red]fox[/red]" in capsys.readouterr().out


def test_what_libraries_print_during_a_phase_stays_out_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    with Phases() as phases:
        phases("download")
        sys.stdout.write("100 %\n")
    sys.stdout.write("result\n")
    said = capsys.readouterr()
    assert said.out == "result\n"
    assert said.err.endswith("download\n100 %\n")


def test_tracking_hands_every_item_on() -> None:
    assert list(track(iter(range(5)), 5)) == list(range(5))


def test_results_printed_while_progress_is_shown_go_to_stdout() -> None:
    code = """if True:
        from camserve.cli.console import say, track
        for item in track(range(3), 3):
            say(f"result {item}")
    """
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm"}
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=child, env=environment, check=True, text=True
    )
    os.close(child)
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    assert result.stdout == "result 0\nresult 1\nresult 2\n"
    assert "3/3" in shown
    assert "result" not in shown


def test_a_terminal_is_shown_each_phase_with_its_time() -> None:
    code = """if True:
        from camserve.cli.console import Phases, track
        with Phases() as phases:
            phases("fold"); phases("write")
        assert list(track(range(3), 3)) == [0, 1, 2]
    """
    parent, child = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=child, env=os.environ | {"TERM": "xterm"}, check=True)
    os.close(child)
    said = os.read(parent, 65536).decode()
    os.close(parent)
    assert "s  fold" in said
    assert "s  write" in said
