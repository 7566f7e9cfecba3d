"""From the requests of a batch to its rows."""

from __future__ import annotations

from foretell.columns import Batch
from foretell.engine.delivery import Delivery
from foretell.engine.work import Work, assemble
from foretell.errors import InferenceError, InvalidInput


def gather(works: list[Work], delivery: Delivery) -> tuple[Batch | None, list[Work]]:
    """One batch of `works`, or None where none is left, and those that have to wait for a call of their own.

    Those whose values do not fit end alone and leave the list, as do those who have to wait.
    """
    try:
        return assemble(works), []
    except (InferenceError, ValueError, TypeError, MemoryError):
        good = []
        for work in works:
            try:
                assemble([work])
            except (InferenceError, ValueError, TypeError) as error:
                delivery.fail([work], error if isinstance(error, InferenceError) else InvalidInput(str(error)))
            else:
                good.append(work)
    waits: list[Work] = []
    if len(good) == len(works) > 1:
        # Each fits, but not together: one at a time then.
        good, waits = good[:1], good[1:]
    works[:] = good
    if not good:
        return None, []
    batch, more = gather(good, delivery)
    works[:] = good
    return batch, [*more, *waits]
