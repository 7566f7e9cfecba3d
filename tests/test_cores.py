"""How many cores a process may use, and the limits of the control groups that containers are."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.control_groups import groups
from foretell.cores import allowed, usable_cores

_TELLS = "from foretell.cores import usable_cores; print(usable_cores())"


def made(root: Path, membership: str, files: dict[str, str]) -> float:
    (root / "membership").write_text(membership)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return allowed(list(groups("cpu", str(root / "membership"), str(root))))


@pytest.mark.parametrize(
    ("membership", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        (
            "0::/a/b\n",
            {"cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n", "a/b/cpu.max": "400000 100000\n"},
            0.5,
        ),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, math.inf),
        ("4:cpu,cpuacct:/d\n0::/\n", {"cpu/d/cpu.cfs_quota_us": "300000", "cpu/d/cpu.cfs_period_us": "100000"}, 3.0),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        # Seen from within a container, which does not see the group that it is said to be in.
        ("4:cpu:/docker/1\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ("4:memory:/\n", {"memory/cpu.max": "100000 100000"}, math.inf),
        ("0::/\n", {"cpu.max": "what\n"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_the_least_of_all_groups_holds(tmp_path: Path, membership: str, files: dict[str, str], wanted: float) -> None:
    assert made(tmp_path, membership, files) == wanted


def test_where_there_are_no_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert list(groups("cpu", str(tmp_path / "none"))) == []
    assert allowed([]) == math.inf


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A group of this machine that gives half a core."""
    for folder, version in groups("cpu"):
        group = Path(folder, f"foretell-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if version == 2:
                (group / "cpu.max").write_text("50000 100000")
            else:
                (group / "cpu.cfs_quota_us").write_text("50000")
        except OSError:
            group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control group can be made here")


def test_a_process_in_a_small_group_has_one_core(small_group: Path) -> None:
    command = f"echo $$ > {small_group}/cgroup.procs && exec {sys.executable} -c '{_TELLS}'"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1\n"
    assert usable_cores() >= 1
