"""Prometheus: its configuration, the alert rules and the probe; with promtool as well where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from deployment import documents, promql

__all__ = ["alerts", "check"]


def check(root: Path) -> list[str]:
    """What is wrong with the files of `prometheus/`."""
    folder = root / "prometheus"
    faults = []
    for name in ("prometheus", "models", "rules", "blackbox"):
        faults += documents.check_file(folder / f"{name}.yml", name)
    if faults:
        return faults
    return _check_rules(root) or [*_check_targets(root), *_promtool(folder)]


def alerts(root: Path) -> dict[str, str]:
    """The expression of each alert, by its name."""
    (rules,) = documents.read(root / "prometheus" / "rules.yml")
    return {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def _check_rules(root: Path) -> list[str]:
    told = (root / "README.md").read_text(encoding="utf-8")
    faults = []
    for name, expression in alerts(root).items():
        try:
            promql.parse(expression)
        except ValueError as error:
            faults.append(f"rules.yml: {name}: {error}")
        if f"**{name}**" not in told:
            faults.append(f"README.md does not tell what {name} means and what to do")
    return faults


def _check_targets(root: Path) -> list[str]:
    """Every job that a rule asks for is scraped, and every address is a service of the compose file."""
    (config,) = documents.read(root / "prometheus" / "prometheus.yml")
    (compose,) = documents.parse(documents.interpolate((root / "compose.yaml").read_text(encoding="utf-8")), "compose")
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    wanted = {
        value
        for expression in alerts(root).values()
        for selected in promql.selections(expression)
        for label, value in selected.values
        if label == "job"
    }
    faults = [f"rules.yml asks for the job {job}, which is not scraped" for job in sorted(wanted - jobs)]
    hosts = {re.sub(r"^https?://", "", target).partition(":")[0] for target in _addresses(config)}
    return faults + [f"prometheus.yml names {host}, which is no service" for host in sorted(hosts - _names(compose))]


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
