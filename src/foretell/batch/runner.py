"""Runs the shards of a job in several processes, whatever happens to them."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from foretell.batch.assign import next_shard
from foretell.batch.board import STAGES, Seen
from foretell.batch.careful import Care
from foretell.batch.hand import AnyHand, Inbox
from foretell.batch.job import Commit, Data, Job, Plan, Wish
from foretell.batch.limits import Limits
from foretell.batch.messages import Begin, Ended, Failed, Join, Joined, Load, Loaded, MakePlan, Planned, Score, Scored
from foretell.batch.progress import Onlooker, Progress
from foretell.errors import ModelError, RowError
from foretell.remote.faults import fault

_LOOK_S = 0.5
_AHEAD = 2
_SHARD_CRASHES = 5
"""Ends of processes within one shard, outside of any call, that are no reason to stop yet."""
_OF_ROWS: Mapping[str, str] = {"predict": "computed", "decode": "decoded"}
"""Stages whose rows may be what ends the process."""
_PATIENCE_S = 600.0
_PATIENCE_CALLS = 100


@dataclass(slots=True)
class _State:
    """What is known of one process."""

    hand: AnyHand
    device: str
    ready: bool = False
    shards: list[int] = field(default_factory=list)
    """What it has: one that it scores, one that it commits or that waits."""
    last: int | None = None
    stuck: bool = False


@dataclass(slots=True)
class Totals:
    """What this run has seen of the job, with what was committed before."""

    rows: int = 0
    quarantined: int = 0
    bytes: int = 0
    schema: str = ""
    scored_now: int = 0
    crashes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def add(self, commit: Commit) -> None:
        """Raises `ModelError` where the outputs of the model are not what they were."""
        if commit.schema and self.schema and commit.schema != self.schema:
            what = "the model changed the types of its outputs between shards"
            raise ModelError(what, where=f"shard {commit.shard}", expected=self.schema, got=commit.schema)
        self.schema = self.schema or commit.schema
        self.rows += commit.rows
        self.quarantined += commit.quarantined
        self.bytes += commit.bytes
        self.reasons.update(commit.reasons)
        self.example = self.example or commit.example


class Runner:
    """One run of a job. `hire` gives a process for the device of that number; what it says comes to `inbox`."""

    def __init__(
        self,
        hire: Callable[[int], AnyHand],
        inbox: Inbox,
        name: str,
        version: str,
        devices: Sequence[str],
        processes: int,
        limits: Limits,
        onlooker: Onlooker,
        call_timeout_s: float | None,
        retries: int = 0,
    ) -> None:
        self._hire, self._name, self._version, self._devices = hire, name, version, devices
        self._processes, self._limits, self._onlooker = processes, limits, onlooker
        self._call_timeout_s, self._retries = call_timeout_s, retries
        self._inbox = inbox
        self._hands: dict[int, _State] = {}
        self._hired = 0
        self._care: dict[int, Care] = {}
        self._outside: Counter[int] = Counter()
        self._job: Job | None = None
        self._root = ""
        self._batch_size: int | None = None
        self._missing: list[int] = []
        self._spent: Counter[str] = Counter()
        self._began = self._looked = time.monotonic()
        self.totals = Totals()

    def plan(self, data: Data, wish: Wish) -> Plan:
        """The plan that the first process with a loaded model makes. Raises what loading and planning raise."""
        self._fill(self._processes)
        asked = False
        while True:
            state, event = self._next()
            if isinstance(event, Loaded):
                state.ready = True
                if not asked:
                    state.hand.give(MakePlan(data, wish))
                asked = True
            elif isinstance(event, Planned):
                return event.plan
            elif isinstance(event, Ended):
                raise ModelError(f"the process that loads the model {event.how}", fix="look at what it has printed")

    def run(self, job: Job, root: str, batch_size: int | None, committed: set[int], before: Totals) -> None:
        """Returns once every shard is committed. Raises an `InferenceError` where the job cannot go on."""
        self._job, self._root, self._batch_size, self.totals = job, root, batch_size, before
        self._missing = [shard.index for shard in job.plan.shards if shard.index not in committed]
        self._began = time.monotonic()
        for state in self._hands.values():
            if state.ready:
                self._begin(state)
        self._fill(min(self._processes, len(self._missing)))
        self._onlooker.began(self._progress())
        while self._missing or any(state.shards for state in self._hands.values()):
            state, event = self._next()
            if isinstance(event, Loaded):
                state.ready = True
                self._begin(state)
            elif isinstance(event, Scored):
                self._scored(state, event.commit)
            elif isinstance(event, Ended):
                self._ended(state, event)
        self._onlooker.went_on(self._progress())

    def join(self, job: Job, root: str, parts: list[str], path: str) -> None:
        """Has one file made of parts at `path`. Raises an `InferenceError`."""
        self._job, self._root = None, ""  # no shard is given out any more
        self._fill(1)
        asked = False
        while True:
            ready = [state for state in self._hands.values() if state.ready]
            if ready and not asked:
                ready[0].hand.give(Begin(job, root, self._batch_size))
                ready[0].hand.give(Join(parts, path))
                asked = True
            state, event = self._next()
            if isinstance(event, Loaded):
                state.ready = True
            elif isinstance(event, Joined):
                return
            elif isinstance(event, Ended):
                raise ModelError(f"the process that joins the parts {event.how}", fix="run the same command again")

    def close(self) -> None:
        """Ends every process; what they have not committed is scored again another time."""
        for state in self._hands.values():
            if not state.shards and state.ready:
                state.hand.leave()
            else:
                state.hand.kill()
        for state in self._hands.values():
            state.hand.close()
        self._hands.clear()

    @property
    def stages(self) -> dict[str, float]:
        """Seconds that the processes spent in each stage."""
        spent = Counter(self._spent)
        for state in self._hands.values():
            spent.update(_seconds(state.hand.board.seen()))
        return dict(spent)

    def _fill(self, processes: int) -> None:
        while len(self._hands) < processes:
            number, self._hired = self._hired % len(self._devices), self._hired + 1
            device = self._devices[number]
            hand = self._hire(number)
            self._hands[hand.number] = _State(hand, device)
            hand.give(Load(self._name, self._version, device, self._retries))

    def _next(self) -> tuple[_State, object]:
        """The next event. Until it comes, onlookers are told, and calls that take too long are ended."""
        while True:
            now = time.monotonic()
            if now - self._looked >= _LOOK_S:
                self._look()
                self._looked = now
            try:
                hand, event = self._inbox.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(event, Failed):
                raise fault(event.note)
            return self._hands[hand.number], event

    def _begin(self, state: _State) -> None:
        if self._job is not None:
            state.hand.give(Begin(self._job, self._root, self._batch_size))
            self._assign(state)

    def _assign(self, state: _State) -> None:
        """Gives it shards until it has one to score and one more: it never waits for us. At the end others would."""
        while self._job is not None and len(state.shards) < (_AHEAD if len(self._missing) >= self._processes else 1):
            reached = {shard for each in self._hands.values() if each is not state for shard in each.shards}
            last = state.shards[-1] if state.shards else state.last
            shard = next_shard(self._missing, last, reached)
            if shard is None:
                return
            self._missing.remove(shard)
            state.shards.append(shard)
            state.last = shard
            state.hand.give(Score(self._job.plan.shards[shard], self._care.get(shard, Care())))

    def _scored(self, state: _State, commit: Commit) -> None:
        self.totals.add(commit)
        self.totals.scored_now += commit.rows
        state.shards.remove(commit.shard)
        seen = self.totals
        self._limits.check_quarantine(seen.quarantined, seen.rows, seen.reasons, seen.example)
        self._assign(state)

    def _ended(self, state: _State, event: Ended) -> None:
        """A process is gone: what it was doing tells what is to be done with care from now on."""
        seen = state.hand.board.seen()
        self._spent.update(_seconds(seen))
        del self._hands[state.hand.number]
        state.hand.close()
        if not state.ready:
            raise ModelError(f"the process that loads the model {event.how}", fix="look at what it has printed")
        self.totals.crashes += 1
        stop = self._limits.crashed_too_often(self.totals.crashes, event.how)
        if stop is not None:
            raise stop
        if state.shards:
            self._learn(seen.shard if seen.shard in state.shards else state.shards[0], seen, event, stuck=state.stuck)
            self._missing = sorted([*self._missing, *state.shards])
        for idle in [each for each in self._hands.values() if each.ready and not each.shards]:
            self._assign(idle)
        self._fill(min(self._processes, len(self._hands) + len(self._missing)))

    def _learn(self, shard: int, seen: Seen, event: Ended, *, stuck: bool) -> None:
        if seen.stage not in _OF_ROWS:
            self._outside[shard] += 1
            if self._outside[shard] > _SHARD_CRASHES:
                what = f"processes end while they {seen.stage} shard {shard}: the last one {event.how}"
                raise ModelError(what, where=self._named(shard, seen))
            self._onlooker.crashed(event.how, f"shard {shard}")
            return
        care = self._care.get(shard, Care())
        why = RowError("deadline_exceeded", "the model did not answer this row in time") if stuck else RowError(
            "model_error", f"the process {event.how} while it {_OF_ROWS[seen.stage]} this row")  # fmt: skip
        self._care[shard] = care.after(seen.first_row, seen.rows, why, self._limits.row_attempts)
        if seen.first_row in self._care[shard].left_out and seen.rows == 1:
            self._onlooker.left_out(self._named(shard, seen), why)
        else:
            how = "was ended, since a call took too long" if stuck else event.how
            self._onlooker.crashed(how, self._named(shard, seen))

    def _named(self, shard: int, seen: Seen) -> str:
        if self._job is None:
            return f"shard {shard}"
        path = self._job.data.files[self._job.plan.shards[shard].file].path
        last = seen.first_row + seen.rows - 1
        return f"{path}, row {last}" if seen.rows == 1 else f"{path}, rows {seen.first_row} to {last}"

    def _look(self) -> None:
        now = time.monotonic_ns()
        for state in self._hands.values():
            seen = state.hand.board.seen()
            limit = self._call_timeout_s or max(_PATIENCE_S, _PATIENCE_CALLS * seen.longest_ns / 1e9)
            if seen.stage in _OF_ROWS and now - seen.since_ns > limit * 1e9 and not state.stuck:
                state.stuck = True
                state.hand.kill()
        if self._job is not None:
            self._onlooker.went_on(self._progress())

    def _progress(self) -> Progress:
        shards = self._job.plan.shards if self._job is not None else ()
        totals, under_way = self.totals, sum(len(state.shards) for state in self._hands.values())
        known = [shard.rows for shard in shards]
        spent = self.stages
        whole = sum(spent.values())
        elapsed = time.monotonic() - self._began
        idle = max(0.0, elapsed * max(1, len(self._hands)) - whole)
        stages = {stage: seconds / (whole + idle) for stage, seconds in spent.items()} if whole + idle > 0 else {}
        seen = [state.hand.board.seen() for state in self._hands.values()]
        # What is under way counts as seen, so that the figure moves also where shards take long.
        live = max(0, sum(each.scored for each in seen) - totals.scored_now) if not totals.crashes else 0
        return Progress(
            elapsed_s=elapsed,
            rows=totals.rows + live,
            scored_now=totals.scored_now + live,
            total_rows=None if None in known else sum(rows or 0 for rows in known),
            quarantined=totals.quarantined,
            shards_done=len(shards) - len(self._missing) - under_way,
            shards=len(shards),
            stages=stages,
            processes=len(self._hands),
            call_rows=max((each.call_rows for each in seen), default=0),
        )


def _seconds(seen: Seen) -> dict[str, float]:
    spent = {"read": seen.read_ns, "predict": seen.predict_ns, "write": seen.write_ns}
    return {stage: spent[stage] / 1e9 for stage in STAGES if stage in spent}
