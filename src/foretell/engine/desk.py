"""What a batcher has, and shares with those who choose its batches and run them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from foretell.clock import Clock
from foretell.engine.again import Again
from foretell.engine.delivery import Delivery
from foretell.engine.lanes import Lanes
from foretell.engine.objective import Objective
from foretell.engine.pace import Pace
from foretell.engine.policy import Placement
from foretell.engine.pool import Pool
from foretell.engine.profile import Profile


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """Of one batcher, whose loop's thread it belongs to. `objective` None: there is none to keep."""

    pool: Pool
    placement: Placement
    profile: Profile
    lanes: Lanes
    again: Again
    delivery: Delivery
    objective: Objective | None
    pace: Pace
    clock: Clock
    loop: asyncio.AbstractEventLoop
