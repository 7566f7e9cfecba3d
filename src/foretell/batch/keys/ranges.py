"""Which shards may hold a key that stands twice, told from what was noted of each: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class KeyRange:
    """What is known of the keys of a shard: the least and the most of them, None where it has no rows. `ascend`: each
    is greater than the one before."""

    least: int | str | None
    most: int | str | None
    ascend: bool


def suspects(ranges: Mapping[int, KeyRange | None]) -> list[int]:
    """The numbers of the shards that may hold a key that stands twice in them, or in another one too.

    `ranges`: of every shard of the job; None where nothing is known of its keys, which may then be those of any.
    """
    there = {shard: each for shard, each in ranges.items() if each is None or each.least is not None}
    known: list[tuple[Any, Any, int]] = [
        (each.least, each.most, shard) for shard, each in there.items() if each is not None
    ]
    if len(known) < len(there) or len({type(least) for least, *_ in known}) > 1:
        return sorted(there)
    found: list[int] = []
    group: list[int] = []
    reached: Any = None
    for least, most, shard in sorted(known, key=lambda each: each[0]):
        if group and least > reached:
            found += _suspect(group, ranges)
            group = []
        reached = max(reached, most) if group else most
        group.append(shard)
    return sorted([*found, *_suspect(group, ranges)])


def _suspect(group: Sequence[int], ranges: Mapping[int, KeyRange | None]) -> Sequence[int]:
    """Of shards whose ranges lie over one another, or of one that stands alone."""
    if len(group) > 1:
        return group
    return [shard for shard in group if (each := ranges[shard]) is None or not each.ascend]
