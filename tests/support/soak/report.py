"""The result of a soak: its faults, and a table of at most 100 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from support.soak.counts import Counts, lost

__all__ = ["faults", "render"]

Document = Mapping[str, Any]

_MEGABYTE = 2**20
_MOST_GROWTH = 100
"""Megabytes by which no process may grow."""

_WARM_SECONDS = 120.0
_SLACK_SECONDS = 1.0
"""How long after a restart was seen to be ready clients may report that they had found no server."""


def faults(document: Document) -> list[str]:
    """Return what is wrong with a run, one sentence each."""
    return [
        *_faults_of_calls(document["counted"]),
        *_faults_of_restarts(document),
        *(
            f"{name} grew by {row['growth']:.0f} MB"
            for name, row in _rows(document["samples"])
            if row["growth"] >= _MOST_GROWTH
        ),
        *(
            f"{name} has {row['descriptors'][1]} descriptors instead of {row['descriptors'][0]}"
            for name, row in _rows(document["samples"])
            if row["descriptors"][1] > row["descriptors"][0]
        ),
        *([] if document["exit_code"] == 0 else [f"camserve serve ended with exit code {document['exit_code']}"]),
        *(f"{path} is left behind" for path in document["left_behind"]),
    ]


def render(document: Document) -> str:
    """Return the tables of a run, and its faults."""
    return "\n".join(
        [
            f"{document['minutes']:.1f} minutes, {document['cpu']:.0%} of one core",
            "",
            *_calls(document["counted"]),
            "",
            *_processes(document["samples"]),
            "",
            *_restarts(document),
            *(f"example: {example}" for example in document["counted"]["examples"]),
            *(["", "stderr of camserve serve:", document["server_errors"]] if document["faults"] else []),
            *(f"FAULT: {fault}" for fault in document["faults"]),
            *([] if document["faults"] else ["No fault"]),
        ]
    )


def _faults_of_calls(counted: Document) -> Iterator[str]:
    for use, outcomes in counted["uses"].items():
        if outcomes["wrong"] or lost(outcomes):
            yield f"{use}: {outcomes['wrong']} wrong, {lost(outcomes)} lost of {outcomes['calls']}"
    killed = counted["killed"]
    if killed.get("wrong", 0) or killed.get("errors", 0):
        yield f"clients that are killed: {killed.get('wrong', 0)} wrong, {killed.get('errors', 0)} other errors"
    if counted["unfinished"]:
        yield f"{counted['unfinished']} clients did not return"
    if counted["clients_exit_code"] != 0:
        yield f"the program of clients ended with exit code {counted['clients_exit_code']}"


def _faults_of_restarts(document: Document) -> Iterator[str]:
    itself = sum(each["cause"] == "itself" for each in document["restarts"])
    if itself:
        yield f"tritonserver ended by itself: {itself} times"
    if len(document["restarts"]) - itself != document["kills"]:
        yield f"{len(document['restarts']) - itself} restarts after {document['kills']} kills"
    if any(each["seconds"] is None for each in document["restarts"]):
        yield "a restarted tritonserver did not become ready"
    gaps = [(each["began"], each["began"] + (each["seconds"] or math.inf)) for each in document["restarts"]]
    refusals = document["counted"]["refusals"]
    others = sum(not any(end >= gap[0] and since <= gap[1] + _SLACK_SECONDS for gap in gaps) for since, end in refusals)
    if others:
        yield f"{others} new clients found no server although none was restarted"


def _calls(counted: Document) -> Iterator[str]:
    yield "| use | calls | correct | ended as meant | no server | wrong | lost | slowest s |"
    yield "|---|---|---|---|---|---|---|---|"
    for use, outcomes in sorted(counted["uses"].items()):
        numbers = [outcomes[name] for name in Counts.OUTCOMES] + [lost(outcomes)]
        slowest = counted["slowest"].get(use)
        yield f"| {use} | {' | '.join(map(str, numbers))} | {'' if slowest is None else f'{slowest:.1f}'} |"
    killed = counted["killed"]
    numbers = [killed.get(name, 0) for name in Counts.OUTCOMES[1:]]
    yield f"| {killed.get('programs', 0)} programs that were killed | | {' | '.join(map(str, numbers))} | | |"


def _processes(samples: list[Document]) -> Iterator[str]:
    yield "| process | MB start | end | most | growth | descriptors start | end | most | threads start | end |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, row in _rows(samples):
        memory = " | ".join(f"{each:.0f}" for each in (*row["memory"], row["growth"]))
        yield f"| {name} | {memory} | {' | '.join(map(str, (*row['descriptors'], *row['threads'])))} |"
    for name, key in (("/dev/shm", "shared"), ("scratch folder", "scratch")):
        sizes = [sample[key] / _MEGABYTE for sample in samples]
        yield f"| {name} | {sizes[0]:.1f} | {sizes[-1]:.1f} | {max(sizes):.1f} | {sizes[-1] - sizes[0]:.1f} |"
    yield ""
    yield _since_last_start(samples)


def _rows(samples: list[Document]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield for each process what it used at the start, at the end and at most; `server` is all of the server's."""
    totals = [_with_total(sample["processes"]) for sample in samples]
    for name in dict.fromkeys(name for total in totals for name in total):
        every = [total[name] for total in totals if name in total]
        at_start, at_end = totals[0].get(name), totals[-1].get(name)
        if at_start is None or at_end is None:
            continue
        kind = "proportional" if name == _TOTAL else "resident"
        memory = [at[kind] / _MEGABYTE for at in (at_start, at_end)]
        yield (
            name,
            {
                "memory": (*memory, max(each[kind] for each in every) / _MEGABYTE),
                "growth": memory[1] - memory[0],
                "descriptors": (
                    at_start["descriptors"],
                    at_end["descriptors"],
                    max(each["descriptors"] for each in every),
                ),
                "threads": (at_start["threads"], at_end["threads"]),
            },
        )


_TOTAL = "server, all (proportional)"


def _with_total(processes: Document) -> dict[str, Any]:
    parts = [used for name, used in processes.items() if name != "clients"]
    total = {_TOTAL: {key: sum(part[key] for part in parts) for key in parts[0]}} if parts else {}
    return {**processes, **total}


def _since_last_start(samples: list[Document]) -> str:
    """Return by how much the last tritonserver has grown since it was warm."""
    last = samples[-1]
    same = [each for each in samples if each["triton_started"] == last["triton_started"]]
    warm = [each for each in same if each["at"] - each["triton_started"] >= _WARM_SECONDS]
    if len(warm) < 2:
        return "tritonserver since its last start: too short to measure"
    before, after = (each["processes"]["tritonserver"] for each in (warm[0], last))
    growth, seconds = (after["resident"] - before["resident"]) / _MEGABYTE, last["at"] - warm[0]["at"]
    return (
        f"tritonserver since it was warm after its last start: {growth:+.1f} MB and "
        f"{after['descriptors'] - before['descriptors']:+d} descriptors in {seconds / 60:.0f} minutes"
    )


def _restarts(document: Document) -> Iterator[str]:
    for each in document["restarts"]:
        took = "never" if each["seconds"] is None else f"after {each['seconds']:.1f} s"
        yield f"tritonserver ended by {each['cause']}; ready again {took}"
