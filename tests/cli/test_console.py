"""What the command line prints, character by character."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from camserve.cli.console import print_error, print_json, print_note, print_warning, settings
from camserve.cli.progress_view import Phases, track
from camserve.cli.tables import print_table
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
def test_printable_text_is_one_line_and_can_be_encoded(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_lines_of_an_error_are_indented_before_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("it failed; the log:\nline 1\nline 2", "Do this")
    assert capsys.readouterr().err == "error: it failed; the log:\n  line 1\n  line 2\nhint: Do this\n"


def test_json_round_trips_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"path": "\udcff\n[bold]œ"}
    print_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == value


def test_a_table_prints_brackets_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("label", "class "), [("[red]fox[/red]", 3)])
    assert "[red]fox[/red]" in capsys.readouterr().out


def test_output_of_libraries_goes_to_stderr_during_a_phase(capsys: pytest.CaptureFixture[str]) -> None:
    with Phases() as phases:
        phases("download")
        sys.stdout.write("100 %\n")
    sys.stdout.write("result\n")
    printed = capsys.readouterr()
    assert printed.out == "result\n"
    assert printed.err.endswith("download\n100 %\n")


def test_track_yields_every_item() -> None:
    assert list(track(iter(range(5)), 5)) == list(range(5))


def test_results_go_to_stdout_while_progress_is_shown() -> None:
    code = """if True:
        from camserve.cli.console import print_line
        from camserve.cli.progress_view import track
        for item in track(range(3), 3):
            print_line(f"result {item}")
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


def test_a_terminal_shows_each_phase_with_its_time() -> None:
    code = """if True:
        from camserve.cli.progress_view import Phases, track
        with Phases() as phases:
            phases("fold"); phases("write")
        assert list(track(range(3), 3)) == [0, 1, 2]
    """
    parent, child = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=child, env=os.environ | {"TERM": "xterm"}, check=True)
    os.close(child)
    printed = os.read(parent, 65536).decode()
    os.close(parent)
    assert "s  fold" in printed
    assert "s  write" in printed


def test_a_narrow_table_drops_optional_columns_and_names_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = [("resnet50", "2026-11-26 14:22", "abababababab")]
    print_table(("model", "published", "source"), rows, optional=("source", "model"))
    printed = capsys.readouterr()
    assert "2026-11-26 14:22" in printed.out
    assert "resnet50" in printed.out
    assert "abab" not in printed.out
    assert "Not shown at this width: source" in printed.err


def test_a_table_too_narrow_for_its_columns_wraps_every_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    print_table(("model", "version "), [("resnet50-signs", 123)])
    printed = "".join(capsys.readouterr().out.split())
    assert all(character in printed for character in "resnet50-signs123")
    assert "…" not in printed


def test_a_wide_table_has_all_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("model", "source"), [("resnet50", "abababababab")], optional=("source",))
    printed = capsys.readouterr()
    assert "abababababab" in printed.out
    assert printed.err == ""


def test_quiet_prints_warnings_and_errors_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "quiet", True)
    print_note("a note")
    with Phases() as phases:
        phases("download")
    assert list(track(range(3), 3)) == [0, 1, 2]
    print_warning("a warning")
    print_error("an error")
    assert capsys.readouterr().err == "warning: a warning\nerror: an error\n"


@pytest.mark.parametrize("missing", [0, 1])
def test_a_column_is_dropped_exactly_where_it_does_not_fit(
    missing: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ("resnet50", "1234567", "abababababab")
    monkeypatch.setenv("COLUMNS", str(len("  ".join(row)) + 2 - missing))
    print_table(("model", "version ", "source"), [row], optional=("source",))
    printed = capsys.readouterr()
    assert ("abababababab" in printed.out) == (not missing)
    assert ("source" in printed.err) == bool(missing)
