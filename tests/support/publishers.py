"""Publishers as separate processes, for tests that kill them or run many at once.

Run as a program: `publishers.py killed FOLDER TASK` and `publishers.py crowd REPOSITORY BUNDLE COUNT`. It imports
everything once and forks each publisher. The pytest process is not forked itself, since it has threads.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camserve.serving import publish
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository import staging_area
from camserve.serving.repository.prune import prune

__all__ = ["TASKS"]

_CHANGES = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
_LAST = 1000


def new_model(folder: Path) -> None:
    """Publish a new model."""
    publish(folder.parent / "new", folder / "repository")


def add(folder: Path) -> None:
    """Publish a version with other tensors, labels and options than the previous one."""
    options = {"max_batch_size": 3}
    publish(folder.parent / "new", folder / "repository", options=options, allow_contract_change=True)


def new_model_with_files(folder: Path) -> None:
    """Publish a new model with the one that takes image files."""
    publish(folder.parent / "new", folder / "repository", options={"image_files": True})


def add_files(folder: Path) -> None:
    """Publish a version with the model that takes image files, for the first time."""
    publish(folder.parent / "old", folder / "repository", options={"image_files": True, "max_batch_size": 3})


def remove_files(folder: Path) -> None:
    """Publish a version without the model that takes image files, which the one before had."""
    publish(folder.parent / "old", folder / "repository", options={"image_files": False, "max_batch_size": 3})


def inside(folder: Path) -> None:
    """Do the same in a repository that looks like a separate mount."""
    staging_area._supports_rename = lambda stage, root: False
    add(folder)


def new_model_inside(folder: Path) -> None:
    """Publish a new model in an empty repository that looks like a separate mount."""
    staging_area._supports_rename = lambda stage, root: False
    new_model(folder)


def roll_back(folder: Path) -> None:
    """Roll back to the first version."""
    rollback(folder / "repository", "toy", to=1)


def remove_oldest(folder: Path) -> None:
    """Prune a version that is not served."""
    prune(folder / "repository", keep=1)


TASKS: dict[str, Callable[[Path], None]] = {
    task.__name__: task
    for task in (
        new_model,
        add,
        inside,
        new_model_inside,
        roll_back,
        remove_oldest,
        new_model_with_files,
        add_files,
        remove_files,
    )
}


def _die_before(step: int, folder: Path) -> None:
    """Make this process kill itself right before its n-th change of the file system."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in _CHANGES) and str(arguments[0]).startswith(str(folder)):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _forked(work: Callable[[], None]) -> int:
    """Fork a child that only does this work, and return its process ID."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except Exception:  # noqa: BLE001  the parent reports every failure
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def kill_everywhere(folder: Path, task: str) -> None:
    """Kill a publisher at its 1st, 2nd, 3rd … step, each in a copy of `folder/before`, until one completes."""
    for step in range(1, _LAST):
        copy = folder / f"killed-{step:03}"
        shutil.copytree(folder / "before", copy)

        def work(step: int = step, copy: Path = copy) -> None:
            _die_before(step, copy)
            TASKS[task](copy)

        _, status = os.waitpid(_forked(work), 0)
        if os.WIFEXITED(status):
            copy.rename(folder / "after")
            sys.exit(os.WEXITSTATUS(status))


def crowd(repository: Path, bundle: Path, count: int) -> None:
    """Run publishers concurrently."""

    def work() -> None:
        sys.stdout.write(f"{publish(bundle, repository).version}\n")
        sys.stdout.flush()

    children = [_forked(work) for _ in range(count)]
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    vars(os)["fsync"] = lambda _descriptor: None  # a killed process loses nothing that it has written
    if sys.argv[1] == "killed":
        kill_everywhere(Path(sys.argv[2]), sys.argv[3])
    else:
        crowd(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
