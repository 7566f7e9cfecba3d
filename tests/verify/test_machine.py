"""Where a certificate was made, with the GPU where the model computes on one."""

from __future__ import annotations

from pathlib import Path

from foretell.verify.machine import gpus, machine

_VERSION = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@U16-I1)
GCC version:  gcc version 12.2.0
"""
_INFORMATION = """Model: \t\t NVIDIA H200
IRQ:   \t\t 255
GPU UUID: \t GPU-00000000-0000-0000-0000-000000000000
"""


def test_the_kinds_of_gpus_and_their_driver(tmp_path: Path) -> None:
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
        (tmp_path / "gpus" / bus / "information").write_text(_INFORMATION)
    (tmp_path / "version").write_text(_VERSION)
    release = "NVIDIA UNIX Open Kernel Module for x86_64 570.86.15 Release Build (dvs-builder@U16-I1)"
    assert gpus(tmp_path) == f"NVIDIA H200, {release}"


def test_a_machine_without_a_driver_tells_nothing(tmp_path: Path) -> None:
    assert gpus(tmp_path) == ""


def test_the_gpu_is_told_of_models_on_one() -> None:
    assert machine({"device": "cuda:0"}) == {**machine(), "gpu": gpus()}
    assert machine({"device": "cpu"}) == machine({}) == machine()
