"""What pip writes about an installed package, without the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["add_package"]


def add_package(folder: Path, name: str, version: str, file: str) -> None:
    """Create what pip writes about an installed package."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    (metadata / "RECORD").write_text(f"{file},,\n")
