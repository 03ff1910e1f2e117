"""Check the Grafana dashboards and their provisioning files."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

from deployment import documents, promql

__all__ = ["check", "queries"]


def check(root: Path) -> list[str]:
    """Return the faults of the files in `grafana/`."""
    folder = root / "grafana"
    faults = [
        *documents.check_file(folder / "provisioning" / "datasources" / "prometheus.yaml", "grafana-datasources"),
        *documents.check_file(folder / "provisioning" / "dashboards" / "camserve.yaml", "grafana-providers"),
    ]
    if faults:
        return faults
    (datasources,) = documents.read(folder / "provisioning" / "datasources" / "prometheus.yaml")
    known = {source["uid"] for source in datasources["datasources"]}
    for path in sorted((folder / "dashboards").glob("*.json")):
        faults += [f"{path.name}: {fault}" for fault in _check_dashboard(path, known)]
    return faults


def queries(path: Path) -> dict[str, str]:
    """Return the PromQL expressions of a dashboard by panel title and query letter."""
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }


def _check_dashboard(path: Path, datasources: set[str]) -> list[str]:
    try:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"invalid JSON: {error}"]
    faults = documents.validate(dashboard, documents.own_schema("grafana-dashboard"))
    if faults:
        return faults
    return [
        *_check_queries(path),
        *_check_layout(dashboard["panels"]),
        *_check_datasources(dashboard, datasources),
    ]


def _check_queries(path: Path) -> list[str]:
    faults = []
    for name, expression in queries(path).items():
        try:
            promql.parse(expression)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    return faults


def _check_layout(panels: list[dict[str, Any]]) -> list[str]:
    identities = [panel["id"] for panel in panels]
    faults = [] if len(set(identities)) == len(identities) else ["two panels have the same id"]
    faults += [
        f"{panel['title']} exceeds the width of the page"
        for panel in panels
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24
    ]
    return faults + [
        f"{one['title']} and {other['title']} overlap"
        for one, other in combinations(panels, 2)
        if _overlap(one["gridPos"], other["gridPos"])
    ]


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def _check_datasources(dashboard: dict[str, Any], known: set[str]) -> list[str]:
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"]}
    used |= {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel["targets"]}
    used |= {variable["datasource"]["uid"] for variable in dashboard["templating"]["list"]}
    return [f"uses the datasource {uid}, which is not provisioned" for uid in sorted(used - known)]
