"""Check Dockerfiles with hadolint, and for root users, bases without a version, and secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["check", "check_dockerfile"]

_ARGUMENT = re.compile(r"^ARG (?P<name>\w+)=(?P<value>\S*)$", re.MULTILINE)
_BASE = re.compile(r"^FROM (?P<image>\S+)", re.MULTILINE)
_USER = re.compile(r"^USER (?P<user>\S+)", re.MULTILINE)
_PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*")
_SERVERS = ("server.Dockerfile", "camserve-backend.Dockerfile")
_SECRET = re.compile(r"^(?:ARG|ENV)\s+\S*(?:PASSWORD|SECRET|TOKEN|KEY)\w*=\S", re.MULTILINE | re.IGNORECASE)


def check(root: Path) -> list[str]:
    """Return the faults of the Dockerfiles and of the script that starts the server."""
    files = sorted(root.glob("*.Dockerfile"))
    faults = [f"{path.name}: {fault}" for path in files for fault in check_dockerfile(path)]
    if not files:
        faults.append("no Dockerfile found")
    faults += [f"{name} has no HEALTHCHECK" for name in _SERVERS if "HEALTHCHECK" not in _text(root / name)]
    return faults + _check_script(root / "start-server.sh")


def check_dockerfile(path: Path) -> list[str]:
    """Return the faults of one Dockerfile."""
    text = _text(path)
    return [*_hadolint(path), *_check_bases(text), *_check_user(text), *_check_secrets(text)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _hadolint(path: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("hadolint"))
    result = subprocess.run([program, "--format", "json", str(path)], capture_output=True, text=True, check=False)
    if not result.stdout.startswith("["):
        return [f"hadolint failed: {result.stderr or result.stdout}"]
    return [f"line {found['line']}: {found['code']} {found['message']}" for found in json.loads(result.stdout)]


def _check_bases(text: str) -> list[str]:
    arguments = {match["name"]: match["value"] for match in _ARGUMENT.finditer(text)}
    expanded = re.sub(r"\$\{(\w+)\}", lambda name: arguments.get(name[1], ""), text)
    bases = [match["image"] for match in _BASE.finditer(expanded)]
    return [f"the base {base} has no version" for base in bases if not _PINNED.fullmatch(base.partition("@")[0])]


def _check_user(text: str) -> list[str]:
    users = [match["user"] for match in _USER.finditer(text)]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        return [f"the last USER must be numeric and not root, got {users[-1] if users else 'none'}"]
    return []


def _check_secrets(text: str) -> list[str]:
    return [f"the image would contain a secret: {match[0]}" for match in _SECRET.finditer(text)]


def _check_script(path: Path) -> list[str]:
    result = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    faults = [] if result.returncode == 0 else [f"{path.name}: {result.stderr.strip()}"]
    if not path.stat().st_mode & 0o100:
        faults.append(f"{path.name} is not executable")
    return faults
