"""Runs the shards of a job in several processes, whatever happens to them."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from foretell.batch.assign import may_reserve, next_of
from foretell.batch.blame import Blame
from foretell.batch.diary import Diary
from foretell.batch.hand import AnyHand, Inbox
from foretell.batch.hand_state import HandState
from foretell.batch.job import Data, Job, Plan, Wish
from foretell.batch.manning import Manning
from foretell.batch.messages import (
    Allow,
    Begin,
    Ended,
    Failed,
    Load,
    Loaded,
    MakePlan,
    Planned,
    Score,
    Scored,
    Task,
)
from foretell.batch.progress import Progress
from foretell.batch.seat import AT_FIRST
from foretell.batch.terms import Terms
from foretell.batch.totals import Totals
from foretell.errors import ModelError
from foretell.remote.faults import fault

AnswerT = TypeVar("AnswerT")
_LOOK_S = 0.2
_AHEAD = 2


class Runner:
    """One run of a job. `hire` gives a process for the device of that number; what it says comes to `inbox`."""

    def __init__(
        self,
        hire: Callable[[int], AnyHand],
        inbox: Inbox,
        terms: Terms,
        manning: Manning,
        onlooker: Diary,
    ) -> None:
        self._hire, self._inbox, self._terms, self._manning, self._onlooker = hire, inbox, terms, manning, onlooker
        self._limits = terms.limits
        self._hands: dict[int, HandState] = {}
        self._hired, self._has_loaded = 0, False
        self._blame = Blame(terms.limits, onlooker)
        self._job: Job | None = None
        self._root, self._sharing = "", 0
        self._gone_rows, self._gone_s = 0, 0.0
        self._missing: list[int] = []
        self._spent: Counter[str] = Counter()
        self._began = self._looked = time.monotonic()
        self._done_before = 0
        self.totals = Totals()

    def plan(self, data: Data, wish: Wish) -> Plan:
        """The plan that the first process with a loaded model makes. Raises what loading and planning raise."""
        self._fill(min(self._manning.processes, AT_FIRST))
        asked = False
        while True:
            state, event = self._next()
            if isinstance(event, Loaded):
                self._loaded(state)
                if not asked:
                    state.hand.give(MakePlan(data, wish))
                asked = True
            elif isinstance(event, Planned):
                return event.plan
            elif isinstance(event, Ended):
                raise ModelError(f"the process that loads the model {event.how}", fix="look at what it has printed")

    def run(self, job: Job, root: str, committed: set[int], before: Totals) -> None:
        """Returns once every shard is committed. Raises an `InferenceError` where the job cannot go on."""
        self._job, self._root, self.totals = job, root, before
        self._missing = [shard.index for shard in job.plan.shards if shard.index not in committed]
        self._began, self._done_before = time.monotonic(), len(committed)
        for state in self._hands.values():
            if state.ready:
                self._begin(state)
        self._man()
        self._onlooker.began(self._progress())
        while self._missing or any(state.shards for state in self._hands.values()):
            state, event = self._next()
            if isinstance(event, Loaded):
                self._loaded(state)
                self._begin(state)
                self._let_go(state)
                self._man()
            elif isinstance(event, Scored):
                self._scored(state, event)
            elif isinstance(event, Ended):
                self._ended(state, event)
        self._onlooker.went_on(self._progress())

    def have_done(self, tasks: Sequence[Task], answer: type[AnswerT]) -> Iterator[AnswerT]:
        """After `run`: has tasks done, each by any of the processes, and gives the answers as they come. What a process
        has not answered when it ends is done again."""
        waiting, doing = list(tasks), dict[int, Task]()
        while waiting or doing:
            if all(state.leaving for state in self._hands.values()):
                self._fill(len(self._hands) + 1)
            for number, state in self._hands.items():
                if waiting and state.ready and not state.leaving and number not in doing:
                    doing[number] = waiting.pop(0)
                    state.hand.give(doing[number])
            state, event = self._next()
            if isinstance(event, Loaded):
                self._loaded(state)
                self._begin(state)
            elif isinstance(event, answer):
                del doing[state.hand.number]
                yield event
            elif isinstance(event, Ended):
                waiting += [task for number, task in doing.items() if number == state.hand.number]
                doing.pop(state.hand.number, None)
                self._ended(state, event)

    def dismiss(self) -> None:
        """Lets processes end by themselves, those that have something to do at once. `close` waits for them; what they
        have not committed is scored again another time."""
        for state in self._hands.values():
            if not state.shards and state.ready:
                state.hand.leave()
            else:
                state.hand.kill()

    def close(self) -> None:
        """Ends every process."""
        self.dismiss()
        for state in self._hands.values():
            state.hand.close()
        self._hands.clear()

    def _seconds(self, now_ns: int) -> dict[str, float]:
        """That the processes spent in each stage."""
        spent = Counter(self._spent)
        for state in self._hands.values():
            spent.update(state.hand.board.seen().seconds(now_ns))
        return dict(spent)

    def _fill(self, processes: int) -> None:
        while len(self._hands) < processes:
            terms = self._terms
            number, self._hired = self._hired % len(terms.devices), self._hired + 1
            device = terms.devices[number]
            hand = self._hire(number)
            self._hands[hand.number] = HandState(hand, device)
            hand.give(Load(terms.name, terms.version, device, terms.retries))

    def _loaded(self, state: HandState) -> None:
        """Raises `InvalidSetting` where the memory is too small for it."""
        state.ready = self._has_loaded = True
        self._manning.loaded(self._pids())

    def _pids(self) -> list[int]:
        return [state.hand.pid for state in self._hands.values() if state.ready and state.hand.pid is not None]

    def _man(self) -> None:
        """Hires or lets go until there are as many processes as there should be, and tells them what they may take."""
        staying = [state for state in self._hands.values() if not state.leaving]
        for state in staying[self._manning.processes :]:
            state.leaving = True
            self._let_go(state)
        needed = len(self._missing) + sum(1 for state in staying if state.shards)
        self._fill(min(self._manning.processes, needed) + len(self._hands) - len(staying))
        if self._sharing != self._manning.processes:
            self._sharing, share = self._manning.processes, self._manning.share()
            for state in self._hands.values():
                if share is not None and state.ready:
                    state.hand.give(Allow(share))

    def _let_go(self, state: HandState) -> None:
        if state.leaving and state.ready and not state.shards:
            state.hand.leave()

    def _next(self) -> tuple[HandState, object]:
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
            state = self._hands.get(hand.number)
            if state is None:
                continue  # one that was never needed has ended
            if isinstance(event, Failed):
                raise fault(event.note)
            return state, event

    def _begin(self, state: HandState) -> None:
        if self._job is not None:
            state.since = time.monotonic()
            scarce = self._manning.scarce
            terms, share, overlap = self._terms, self._manning.share(), self._manning.may_overlap(state.device)
            state.hand.give(Begin(self._job, self._root, terms.batch_size, share, scarce, terms.check_keys, overlap))
            self._assign(state)

    def _assign(self, state: HandState) -> None:
        """Gives it shards until it has one to score and one more: it never waits for us. Not where others would."""
        if state.leaving:
            return
        while self._job is not None:
            busy = sum(1 for each in self._hands.values() if each.shards)
            plenty = may_reserve(len(self._missing), self._manning.processes, busy)
            if len(state.shards) >= (_AHEAD if plenty else 1):
                return
            reached = {shard for each in self._hands.values() if each is not state for shard in each.shards}
            last = state.shards[-1] if state.shards else state.last
            shard = next_of(self._job, self._missing, last, reached)
            if shard is None:
                return
            self._missing.remove(shard)
            state.shards.append(shard)
            state.last = shard
            state.hand.give(Score(self._job.plan.shards[shard], self._blame.care(shard)))

    def _scored(self, state: HandState, event: Scored) -> None:
        commit = event.commit
        self.totals.add(commit)
        self._onlooker.committed(commit, event.seconds)
        self.totals.scored_now += commit.rows
        state.shards.remove(commit.shard)
        seen = self.totals
        self._limits.check_quarantine(seen.quarantined, seen.rows, seen.reasons, seen.example)
        self._assign(state)
        self._let_go(state)

    def _ended(self, state: HandState, event: Ended) -> None:
        """A process is gone: what it was doing tells what is to be done with care from now on."""
        seen = state.hand.board.seen()
        self._spent.update(seen.seconds())
        self._gone_rows += seen.scored
        self._gone_s += 0.0 if state.since is None else time.monotonic() - state.since
        del self._hands[state.hand.number]
        state.hand.close()
        if state.leaving and not state.shards:
            return
        if not self._has_loaded:
            raise ModelError(f"the process that loads the model {event.how}", fix="look at what it has printed")
        self.totals.crashes += 1
        stop = self._limits.crashed_too_often(self.totals.crashes, event.how)
        if stop is not None:
            raise stop
        if state.shards and self._job is not None:
            self._blame.learn(self._job, state.shards, seen, event.how, stuck=state.stuck)
            self._missing = sorted([*self._missing, *state.shards])
        for idle in [each for each in self._hands.values() if each.ready and not each.shards]:
            self._assign(idle)
        self._man()

    def _look(self) -> None:
        for state in self._hands.values():
            if not state.stuck and state.hangs(self._terms.call_timeout_s):
                state.stuck = True
                state.hand.kill()
        if self._job is not None:
            self._onlooker.went_on(self._progress())
            self._look_at_processes()

    def _look_at_processes(self) -> None:
        boards = [state.hand.board.seen() for state in self._hands.values()]
        rows = self._gone_rows + sum(seen.scored for seen in boards)
        call_rows = max((seen.call_rows for seen in boards), default=0)
        stop = self._manning.look(rows, self._pids(), call_rows, len(self._hands) + len(self._missing) // _AHEAD)
        if stop is not None:
            raise stop
        self._man()

    def _progress(self) -> Progress:
        shards = self._job.plan.shards if self._job is not None else ()
        totals, under_way = self.totals, sum(len(state.shards) for state in self._hands.values())
        known, done = [shard.rows for shard in shards], len(shards) - len(self._missing) - under_way
        spent = self._seconds(time.monotonic_ns())
        now = time.monotonic()
        present = self._gone_s + sum(now - state.since for state in self._hands.values() if state.since is not None)
        stages = {stage: min(1.0, seconds / present) for stage, seconds in spent.items()} if present > 0 else {}
        seen = [state.hand.board.seen() for state in self._hands.values()]
        # What is under way counts as seen, so that the figure moves also where shards take long.
        live = (
            max(0, self._gone_rows + sum(each.scored for each in seen) - totals.scored_now) if not totals.crashes else 0
        )
        return Progress(
            elapsed_s=now - self._began,
            rows=totals.rows + live,
            scored_now=totals.scored_now + live,
            total_rows=None if None in known else sum(rows or 0 for rows in known),
            quarantined=totals.quarantined,
            shards_done=done,
            shards=len(shards),
            stages=stages,
            processes=len(self._hands),
            call_rows=max((each.call_rows for each in seen), default=0),
            seconds=spent,
            crashes=totals.crashes,
            shards_now=max(0, done - self._done_before),
            committed=totals.rows,
            bytes=totals.bytes,
            reasons=dict(totals.reasons),
        )
