"""Check the configuration of Prometheus, its alert rules and its probe; with promtool if it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from deployment import documents, promql

__all__ = ["alerts", "check"]


def check(root: Path) -> list[str]:
    """Return the faults of the files in `prometheus/`."""
    folder = root / "prometheus"
    faults = []
    for name in ("prometheus", "models", "rules", "blackbox"):
        faults += documents.check_file(folder / f"{name}.yml", name)
    if faults:
        return faults
    return _check_rules(root) or [*_check_targets(root), *_promtool(folder)]


def alerts(root: Path) -> dict[str, str]:
    """Return the PromQL expression of each alert by name."""
    (rules,) = documents.read(root / "prometheus" / "rules.yml")
    return {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def _check_rules(root: Path) -> list[str]:
    readme = (root / "README.md").read_text(encoding="utf-8")
    faults = []
    for name, expression in alerts(root).items():
        try:
            promql.parse(expression)
        except ValueError as error:
            faults.append(f"rules.yml: {name}: {error}")
        if f"**{name}**" not in readme:
            faults.append(f"README.md does not explain the alert {name}")
    return faults


def _check_targets(root: Path) -> list[str]:
    """Check that every job in a rule is scraped, and that every address is a service of the compose file."""
    (config,) = documents.read(root / "prometheus" / "prometheus.yml")
    (compose,) = documents.parse(documents.interpolate((root / "compose.yaml").read_text(encoding="utf-8")), "compose")
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    used = {
        value
        for expression in alerts(root).values()
        for selected in promql.selections(expression)
        for label, value in selected.values
        if label == "job"
    }
    faults = [f"rules.yml uses the job {job}, which is not scraped" for job in sorted(used - jobs)]
    hosts = {re.sub(r"^https?://", "", target).partition(":")[0] for target in _addresses(config)}
    unknown = sorted(hosts - _names(compose))
    return faults + [f"prometheus.yml references {host}, which is not a service of compose.yaml" for host in unknown]


def _addresses(config: dict[str, Any]) -> list[str]:
    found = []
    for job in config["scrape_configs"]:
        found += [target for static in job["static_configs"] for target in static["targets"]]
        found += [
            relabel["replacement"]
            for relabel in job.get("relabel_configs", [])
            if relabel.get("target_label") == "__address__"
        ]
    return found


def _names(compose: dict[str, Any]) -> set[str]:
    names = set(compose["services"])
    for service in compose["services"].values():
        if isinstance(service["networks"], dict):
            for network in service["networks"].values():
                names |= set((network or {}).get("aliases", []))
    return names


def _promtool(folder: Path) -> list[str]:
    program = shutil.which("promtool")
    if program is None:
        return []
    commands = [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules.test.yml"],
    ]
    results = [
        subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, check=False) for words in commands
    ]
    return [f"promtool: {result.stdout}{result.stderr}".strip() for result in results if result.returncode]
