"""Fixtures of the tests of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.linting import Lint

from camserve.bundle import Bundle


@pytest.fixture
def lint(toy_bundle: Bundle, tmp_path: Path) -> Lint:
    """Lints a toy model with a changed configuration or folder."""
    return Lint(toy_bundle, tmp_path / "repository")
