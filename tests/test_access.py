"""Owner, mode and access control list of files that another user replaces."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.access import access_list, as_another_user, mode, needs_root

from camserve.access import read_access
from camserve.atomic import replace_file

pytestmark = needs_root


def replaced_by_another_user(folder: Path, number: int, *, group: int, listed: bool = False) -> tuple[bool, int]:
    """Return whether the access was kept, and the mode, of a file of root that a user of group 5432 replaces."""
    folder.chmod(0o777)
    target = folder / "table.csv"
    target.write_text("old")
    target.chmod(number)
    os.chown(target, 0, group)
    if listed:
        access_list(target, user=1234)

    def replace() -> bool:
        with replace_file(Path("table.csv")) as replacement:
            replacement.stream.write(b"new")
        return replacement.access_kept

    kept = as_another_user(folder, replace)
    assert target.read_text() == "new"
    assert target.stat().st_uid == 4321
    return kept, mode(target)


@pytest.mark.parametrize("number", [0o600, 0o640, 0o664, 0o604])
def test_the_mode_is_kept_for_the_same_group(tmp_path: Path, number: int) -> None:
    assert replaced_by_another_user(tmp_path, number, group=5432) == (False, number)


@pytest.mark.parametrize(
    ("before", "after"), [(0o600, 0o600), (0o640, 0o600), (0o644, 0o644), (0o664, 0o644), (0o604, 0o600)]
)
def test_another_group_gets_no_more_than_everybody_had(tmp_path: Path, before: int, after: int) -> None:
    assert replaced_by_another_user(tmp_path, before, group=0) == (False, after)


def test_an_access_list_is_not_given_to_another_group(tmp_path: Path) -> None:
    assert replaced_by_another_user(tmp_path, 0o644, group=0, listed=True) == (False, 0o600)
    assert os.listxattr(tmp_path / "table.csv") == []


def test_nothing_and_a_link_have_no_access(tmp_path: Path) -> None:
    assert read_access(tmp_path / "missing") is None
    (tmp_path / "link").symlink_to("missing")
    with pytest.raises(FileExistsError, match="it is a link"):
        read_access(tmp_path / "link")
