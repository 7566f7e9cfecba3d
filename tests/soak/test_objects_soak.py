"""A job on object storage that is killed again and again while half of all requests fail: the output is the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import scoring
import scoring_objects as objects
from fault_proxy import FaultProxy
from s3_server import S3Server

_KILLS = 12
_OUT = ("-o", "s3://box/out", "--key", "id")

pytestmark = pytest.mark.soak


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_output_is_that_of_a_calm_run(tmp_path: Path, seed: int) -> None:
    folder = scoring.fill(tmp_path)
    data = scoring.write_files(folder, files=8)
    chance = random.Random(seed)
    with S3Server("box") as s3:
        objects.upload(s3, data, "in")
        objects.score(folder, s3.environment(), "s3://box/in", "-o", "s3://box/calm", "--key", "id")
        kills = 0
        while kills < _KILLS:
            with FaultProxy(s3.port, seed=chance.randrange(1000)) as proxy:
                left = [chance.randrange(10, 200)]
                with objects.started(folder, s3.environment(proxy.url), "s3://box/in", *_OUT) as process:

                    def fails(method: str, path: str, left: list[int] = left, process: object = process) -> bool:
                        left[0] -= 1
                        if left[0] == 0:
                            process.kill()  # type: ignore[attr-defined]
                        return True

                    proxy.when = fails
                    process.wait()
            if process.returncode == 0:
                break
            assert process.returncode == -9
            kills += 1
            assert not [key for key in objects.seen(s3, "out") if key != "out/manifest.json"]
        with FaultProxy(s3.port, seed=seed) as proxy:
            objects.score(folder, s3.environment(proxy.url), "s3://box/in", *_OUT)
        assert objects.parts(s3, "out") == objects.parts(s3, "calm")
        assert kills > 2, "it was too quick to be killed"
