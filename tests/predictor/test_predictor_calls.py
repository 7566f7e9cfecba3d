"""Time limits, retries, the cache, concurrency, asyncio and the figures of a predictor."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from engine_models import NEGATIVE, WAIT_S, Does, Doubler, Gated, InlineDoubler

from foretell import (
    BasePredictor,
    DeadlineExceeded,
    InvalidInput,
    ModelError,
    NotReady,
    Overloaded,
    Predictor,
    TransientError,
)
from foretell.columns import Batch


class TestTimeLimits:
    def test_a_call_that_takes_too_long_ends_in_time(self) -> None:
        model = Gated()
        predictor = Predictor(model=model, timeout_s=0.01)
        for call in (
            lambda: predictor.predict(1.0),
            lambda: predictor.predict_batch([1.0, 2.0]),
            lambda: list(predictor.predict_batch(iter([1.0]))),
        ):
            with pytest.raises(DeadlineExceeded, match="time limit"):
                call()
        model.gate.set()
        predictor.close()

    async def test_for_asyncio_too_and_the_loop_goes_on(self) -> None:
        model = Gated()
        predictor = Predictor(model=model, timeout_s=0.01)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(predictor.apredict(1.0), WAIT_S)
        model.gate.set()
        predictor.close()

    def test_a_function_that_hangs_is_left_behind(self) -> None:
        gate = threading.Event()

        def hangs(x: np.ndarray) -> np.ndarray:
            assert gate.wait(WAIT_S)
            return x

        predictor = Predictor(model=hangs, timeout_s=0.01)
        with pytest.raises(DeadlineExceeded):
            predictor.predict([1.0])
        gate.set()
        predictor.close()

    def test_without_hurry_the_answer_is_the_same(self) -> None:
        with Predictor(model=Doubler(), timeout_s=1000.0) as predictor:
            assert predictor.predict([1.0, 2.0]) == [{"y": 2.0}, {"y": 4.0}]


class Busy(Exception):
    pass


class TestRetries:
    @pytest.mark.parametrize("retries", [0, 1, 3])
    def test_are_as_many_as_were_asked_for(self, retries: int) -> None:
        def busy(call: int, batch: Batch) -> None:
            raise Busy("gpu")

        model = Does(busy)
        model.transient = (Busy,)
        delay = {"retry_delay_s": 0.0} if retries else {}
        with Predictor(model=model, retries=retries, **delay) as predictor:
            with pytest.raises(TransientError, match="Busy: gpu") as caught:
                predictor.predict(1.0)
            assert isinstance(caught.value.__cause__, Busy)
        assert len(model.calls) == retries + 1

    def test_are_never_for_other_errors(self) -> None:
        model = Doubler()
        model.transient = (Busy,)
        with (
            Predictor(model=model, retries=5, retry_delay_s=0.0) as predictor,
            pytest.raises(ModelError, match=NEGATIVE),
        ):
            predictor.predict(-1.0)
        assert len(model.calls) == 1

    def test_of_a_plain_object_that_names_its_passing_errors(self) -> None:
        class Flaky:
            transient = (ConnectionError,)
            calls = 0

            def predict(self, x: np.ndarray) -> np.ndarray:
                self.calls += 1
                if self.calls == 1:
                    raise ConnectionError("reset")
                return x * 2

        with Predictor(model=Flaky(), retry_delay_s=0.0) as predictor:
            assert predictor.predict([1.0]) == [2.0]


class TestTheCache:
    def test_is_off_unless_it_is_asked_for(self) -> None:
        model = Doubler()
        with Predictor(model=model) as predictor:
            for _ in range(3):
                predictor.predict(1.0)
            assert predictor.stats()["cache"] == {"hits": 0, "misses": 0, "rows": 0}
        assert len(model.calls) == 3

    async def test_serves_every_way_of_asking(self) -> None:
        model = Doubler()
        with Predictor(model=model, cache_size=100) as predictor:
            assert predictor.predict([1.0, 2.0]) == [{"y": 2.0}, {"y": 4.0}]
            assert predictor.predict(2.0) == {"y": 4.0}
            assert predictor.predict_batch([2.0, 3.0], batch_size=1) == [{"y": 4.0}, {"y": 6.0}]
            assert await predictor.apredict([3.0, 1.0]) == [{"y": 6.0}, {"y": 2.0}]
            assert list(predictor.predict_batch(iter([1.0, 4.0]))) == [{"y": 2.0}, {"y": 8.0}]
            assert predictor.stats()["cache"] == {"hits": 5, "misses": 4, "rows": 4}
        assert sorted(model.seen) == [1, 2, 3, 4]

    def test_is_bounded_in_rows(self) -> None:
        with Predictor(model=Doubler(), cache_size=10) as predictor:
            predictor.predict(np.arange(100.0))
            assert predictor.stats()["cache"]["rows"] == 10

    def test_gives_answers_that_may_be_written_into(self) -> None:
        with Predictor(model=Doubler(), cache_size=10) as predictor:
            for data in (np.array([1.0]), np.array([1.0, 2.0])):
                for _ in range(3):
                    answer = predictor.predict(data)["y"]
                    np.testing.assert_array_equal(answer, data * 2)
                    answer[:] = -1

    def test_runs_a_predict_of_ones_own_around_it(self) -> None:
        class Mine(BasePredictor):
            def predict(self, data: Any) -> Any:
                return super().predict(data)["y"] + 1

        model = Doubler()
        with Mine(model, cache_size=10) as predictor:
            assert [predictor.predict(np.array([1.0])).tolist() for _ in range(2)] == [[3.0], [3.0]]
        assert len(model.calls) == 1


class TestConcurrency:
    @pytest.mark.parametrize("options", [{}, {"cache_size": 50}, {"timeout_s": 1000.0}])
    def test_threads_each_get_their_own_answer(self, options: dict[str, Any]) -> None:
        model, together = Doubler(), threading.Barrier(8, timeout=WAIT_S)

        def ask(start: int) -> None:
            together.wait()
            for n in range(start, start + 40):
                assert predictor.predict(float(n)) == {"y": 2.0 * n}
                block = np.arange(float(n), n + 5.0)
                np.testing.assert_array_equal(predictor.predict_batch(block, 2, 1)["y"], block * 2)

        with Predictor(model=model, **options) as predictor, ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(ask, start) for start in range(0, 80, 10)]:
                future.result()
        assert model.most_at_once == 1

    async def test_coroutines_share_the_models_batches(self) -> None:
        model = Gated()
        with Predictor(model=model) as predictor:
            first = asyncio.create_task(predictor.apredict(0.0))
            await asyncio.to_thread(model.started.wait, WAIT_S)
            rest = [asyncio.create_task(predictor.apredict(float(n))) for n in range(1, 51)]
            await asyncio.sleep(0)
            model.gate.set()
            assert await asyncio.gather(first, *rest) == [{"y": 2.0 * n} for n in range(51)]
            assert model.calls == [1, 50]

    async def test_a_coroutine_that_is_cancelled_leaves_the_queue(self) -> None:
        model = Gated()
        with Predictor(model=model) as predictor:
            first = asyncio.create_task(predictor.apredict(0.0))
            await asyncio.to_thread(model.started.wait, WAIT_S)
            gone = asyncio.create_task(predictor.apredict(7.0))
            await asyncio.sleep(0)
            gone.cancel()
            model.gate.set()
            await first
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert await predictor.apredict(1.0) == {"y": 2.0}
        assert 7.0 not in model.seen

    async def test_a_full_queue_refuses(self) -> None:
        model = Gated()
        with Predictor(model=model, max_queue_size=2) as predictor:
            tasks = [asyncio.create_task(predictor.apredict(float(n))) for n in range(6)]
            assert await asyncio.to_thread(model.started.wait, WAIT_S)
            model.gate.set()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} == {dict, Overloaded}

    def test_one_predictor_in_loop_after_loop(self) -> None:
        with Predictor(model=InlineDoubler()) as predictor:
            for n in range(3):
                assert asyncio.run(predictor.apredict(float(n))) == {"y": 2.0 * n}


class TestAsyncIterators:
    async def test_give_one_answer_for_each_item(self) -> None:
        with Predictor(model=Doubler()) as predictor:
            answers = await predictor.apredict_batch(iter([1.0, np.array([2.0, 3.0])]), num_workers=1)
            got = [answer["y"] async for answer in answers]
        assert got[0] == 2 and got[1].tolist() == [4, 6]

    async def test_may_be_left_early(self) -> None:
        ended, before = threading.Event(), set(threading.enumerate())

        def source() -> Any:
            try:
                for n in range(10_000):
                    yield np.full(3, float(n))
            finally:
                ended.set()

        with Predictor(model=Doubler()) as predictor:
            answers = await predictor.apredict_batch(source(), num_workers=2)
            async for answer in answers:
                assert answer["y"].tolist() == [0, 0, 0]
                break
            await answers.aclose()
        assert ended.wait(WAIT_S)
        new = [each.name for each in threading.enumerate() if each not in before]
        assert not any(name.startswith("foretell-ahead") for name in new)  # asyncio's own threads may stay

    async def test_may_be_cancelled_while_an_answer_is_made(self) -> None:
        model = Gated()
        predictor = Predictor(model=model)
        answers = await predictor.apredict_batch(iter([np.ones(2)] * 5), num_workers=1)
        task = asyncio.create_task(anext(answers))
        assert await asyncio.to_thread(model.started.wait, WAIT_S)
        task.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT_S)
        await answers.aclose()
        assert predictor.predict(1.0) == {"y": 2.0}
        predictor.close()

    async def test_raise_at_their_place(self) -> None:
        seen = []
        with Predictor(model=Doubler()) as predictor:
            answers = await predictor.apredict_batch(iter([1.0, -1.0]))
            with pytest.raises(ModelError, match=NEGATIVE):
                async for answer in answers:
                    seen.append(answer)
        assert seen == [{"y": 2.0}]


class TestStats:
    async def test_tell_what_happened(self) -> None:
        with Predictor(model=Doubler(), cache_size=100) as predictor:
            predictor.predict([1.0, 2.0])
            predictor.predict_batch([1.0, 3.0])
            await predictor.apredict(4.0)
            for wrong in ("x", -1.0):
                with pytest.raises((InvalidInput, ModelError)):
                    predictor.predict(wrong)
            stats = predictor.stats()
        assert stats["requests"] == 3
        assert stats["rows"] == 4, "rows that the model answered"
        assert stats["errors"] == {"invalid_input": 1, "model_error": 1}
        latency = stats["latency_ms"]
        assert set(latency) == {"p50", "p90", "p95", "p99", "mean"}
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"]
        assert stats["throughput_rows_s"] > 0
        assert stats["memory"]["rss_bytes"] > 0 and stats["memory"]["peak_rss_bytes"] >= stats["memory"]["rss_bytes"]
        assert stats["cache"] == {"hits": 1, "misses": 5, "rows": 4}
        assert stats["device"]["name"] == "cpu" and 0 < stats["device"]["busy_share"] <= 1
        assert stats["optimizations"] == []

    def test_are_empty_before_anything_happened(self) -> None:
        with Predictor(model=Doubler()) as predictor:
            stats = predictor.stats()
        assert (stats["requests"], stats["rows"], stats["errors"]) == (0, 0, {})
        assert set(stats["latency_ms"].values()) == {None}
        assert stats["throughput_rows_s"] is None and stats["device"]["busy_share"] is None

    def test_can_still_be_read_after_the_end(self) -> None:
        predictor = Predictor(model=Doubler())
        predictor.predict(1.0)
        predictor.close()
        assert predictor.stats()["requests"] == 1
        with pytest.raises(NotReady):
            predictor.predict(1.0)


async def test_closing_in_the_middle_of_an_iterator_is_said_at_the_next_answer() -> None:
    predictor = Predictor(model=Doubler())
    answers = predictor.predict_batch(iter([np.ones(1)] * 10), num_workers=0)
    assert next(answers)["y"].tolist() == [2.0]
    predictor.close()
    with pytest.raises(NotReady, match="closed"):
        list(answers)


def test_a_model_may_ask_the_predictor_that_runs_it() -> None:
    def down(x: np.ndarray) -> np.ndarray:
        return predictor.predict(x - 1) + 1 if x.max() > 0 else x

    with Predictor(down) as predictor:
        answered: list[Any] = []
        caller = threading.Thread(target=lambda: answered.append(predictor.predict(np.array([3.0]))), daemon=True)
        caller.start()
        caller.join(WAIT_S)
        assert [answer.tolist() for answer in answered] == [[3.0]]
