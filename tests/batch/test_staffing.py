"""How many processes a job begins with, and how many fit."""

from __future__ import annotations

import pytest

from foretell.batch.staffing import Staff, fitting, least, may_grow, staff

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("asked", "cores", "devices", "artefact", "memory", "expected"),
    [
        (None, 4, ["cpu"], MIB, None, Staff(4, 1, 4)),
        (None, 4, ["cpu"], MIB, 8 * GIB, Staff(4, 1, 4)),
        (2, 8, ["cpu"], MIB, None, Staff(2, 4, 2)),
        (None, 8, ["cuda:0", "cuda:1"], MIB, None, Staff(2, 4, 2)),
        (None, 4, ["cpu"], 100 * MIB, GIB, Staff(2, 2, 4)),
        (None, 4, ["cpu"], GIB, 100 * MIB, Staff(1, 4, 1)),
        (None, 4, ["cpu"], GIB, 100 * GIB, Staff(1, 4, 1)),
        (3, 4, ["cpu"], GIB, 100 * GIB, Staff(3, 1, 3)),
        (None, 4, ["cpu"], MIB, 1, Staff(1, 4, 4)),
    ],
)
def test_how_many_begin(
    asked: int | None, cores: int, devices: list[str], artefact: int, memory: int | None, expected: Staff
) -> None:
    assert staff(asked, cores, devices, artefact, memory) == expected


@pytest.mark.parametrize(
    ("asked", "artefact", "expected"), [(None, 511 * MIB, True), (None, 512 * MIB, False), (2, MIB, False)]
)
def test_weights_that_are_loaded_once_stay_once(asked: int | None, artefact: int, expected: bool) -> None:
    assert may_grow(asked, artefact) is expected
    if asked is None and not expected:
        assert staff(None, 8, ["cpu"], artefact, 100 * GIB) == Staff(1, 8, 1)


def test_how_many_fit_is_told_by_those_that_are_loaded() -> None:
    assert fitting(1000 * MIB, [150 * MIB, 202 * MIB], 8) == 4
    assert fitting(1000 * MIB, [202 * MIB], 3) == 3
    assert fitting(200 * MIB, [202 * MIB], 3) == fitting(-20 * MIB, [202 * MIB], 3) == 0
    assert fitting(least(202 * MIB), [202 * MIB], 3) == 1
