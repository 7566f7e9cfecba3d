"""Which device the next replica goes to, and which replica is over: decisions that keep the devices even."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from foretell.engine.member import Member


def device_of_next(devices: Sequence[str], members: Collection[Member], generation: int) -> str:
    """The device with the fewest replicas of `generation`, the first of several."""
    counts = Counter(member.device for member in members if member.generation == generation)
    return min(devices, key=lambda device: counts[device])


def idlest(members: Collection[Member]) -> Member:
    """Of the replicas on the fullest device, the one with the least to do, the youngest of several."""
    counts = Counter(member.device for member in members)
    return min(members, key=lambda member: (-counts[member.device], member.outstanding, -member.number))
