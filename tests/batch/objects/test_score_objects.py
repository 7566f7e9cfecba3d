"""`foretell score` from and to object storage: the same rows and bytes as on a disk, in one step, or not at all."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring
import scoring_objects as objects
from fault_proxy import FaultProxy
from s3_server import SECRET_KEY, S3Server

OUT = ("-o", "s3://box/out", "--key", "id")


@pytest.fixture
def storage(s3: S3Server) -> dict[str, str]:
    return s3.environment()


def table(parts: dict[str, bytes]) -> pa.Table:
    return pa.concat_tables(pq.read_table(pa.BufferReader(parts[name])) for name in sorted(parts))


def test_the_parts_are_those_of_a_local_run(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder)
    scoring.score(folder, *scoring.ALONE, "--key", "id", "--file-size", "0")
    done = objects.score(folder, storage, data, *OUT)
    assert objects.parts(s3, "out") == scoring.parts(folder)
    assert "s3://box/out/manifest.json: 1,600 rows" in done.stdout
    assert objects.seen(s3, "out") == ["out/manifest.json"]
    assert "report: s3://box/out/_foretell/report.html" in done.stdout
    assert b"All 1,600 rows scored." in s3.content("box", "out/_foretell/report.html")
    assert {each.content_type for each in s3.asked if each.method == "PUT" and each.key.endswith(".html")} == {
        "text/html; charset=utf-8"
    }
    there = objects.manifest(s3, "out")
    here = json.loads((folder / "out" / "data" / "_foretell.json").read_text())
    assert [part["sha256"] for part in there["parts"]] == [part["sha256"] for part in here["parts"]]
    assert s3.uploads == {}


def test_parts_become_objects_of_the_size_that_is_asked_for(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    data = scoring.write_files(folder)
    small = max(len(part) for part in local_parts(folder, "0").values())
    for size in ("1GiB", str(2 * small)):
        there, here = f"s3://box/of-{size}", local_parts(folder, size)
        objects.score(folder, storage, data, "-o", there, "--key", "id", "--file-size", size)
        assert objects.parts(s3, f"of-{size}") == here
        assert len(here) == (1 if size == "1GiB" else 2)
        assert (
            objects.score(folder, storage, data, "-o", there, "--key", "id", code=1).stderr.count("another size") == 1
        )
    kept = [key for key in s3.keys("box") if key.startswith("of-1GiB/_foretell/") and "/data/" in key]
    assert [key.rpartition("/")[2] for key in kept] == list(local_parts(folder, "1GiB"))


def local_parts(folder: Path, size: str) -> dict[str, bytes]:
    scoring.score(folder, "--key", "id", "--file-size", size, "--fresh")
    return scoring.parts(folder)


def test_parts_that_were_joined_are_there_for_a_retry(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, bad={5: -66.0})
    job = ["-o", "s3://box/out", "--key", "id", "--file-size", "1GiB"]
    objects.score(folder, storage, data, *job, model="models.py:Outage", code=3)
    (before,) = objects.parts(s3, "out").values()
    (folder / "mended").touch()
    objects.run(folder, storage, "retry", "s3://box/out")
    (after,) = objects.parts(s3, "out").values()
    assert scoring.answers(table({"0": before})).keys() == scoring.expected(without=[5]).keys()
    assert scoring.answers(table({"0": after})).keys() == scoring.expected().keys()
    objects.score(folder, storage, data, *job, model="models.py:Outage")  # nothing to do: they have that size


def test_data_and_output_may_both_be_objects(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    objects.upload(s3, scoring.write_files(folder), "in")
    objects.score(folder, storage, "s3://box/in", *OUT, *scoring.ALONE)
    assert scoring.answers(table(objects.parts(s3, "out"))) == scoring.expected()
    objects.score(folder, storage, "s3://box/in/0[01].parquet", "-o", "here", "--key", "id", *scoring.ALONE)
    local = pa.concat_tables(pq.read_table(part) for part in (folder / "here" / "data").glob("*.parquet"))
    assert scoring.answers(local) == scoring.expected(files=2)


def test_keys_that_stand_twice_are_told_there(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, files=2)
    (data / "09.parquet").write_bytes((data / "00.parquet").read_bytes())
    objects.upload(s3, data, "in")
    done = objects.score(folder, storage, "s3://box/in", *OUT)
    path = "s3://box/out/_foretell/duplicates.jsonl"
    assert f"400 keys stand more than once, in 800 rows: {path}" in done.stdout
    lines = [json.loads(line) for line in s3.content("box", "out/_foretell/duplicates.jsonl").splitlines()]
    assert lines[:2] == [{"key": {"id": 0}, "file": f"s3://box/in/{name}.parquet", "row": 0} for name in ("00", "09")]
    assert f": {path}" in objects.score(folder, storage, "s3://box/in", *OUT).stdout


def test_an_output_is_data_of_the_next_job(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    objects.score(folder, storage, scoring.write_files(folder), *OUT, *scoring.ALONE)
    s3.put("box", "out/_foretell/left/data/part-9.parquet", b"of a job that was never published")
    objects.score(folder, storage, "s3://box/out", "-o", "s3://box/next", "--map", "x=id,output", *scoring.ALONE)
    found = table(objects.parts(s3, "next"))["output"].to_pylist()
    assert sorted(found) == sorted(np.float32(row) + np.float32(each) for row, each in scoring.expected().items())


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_one_object_is_the_file_of_a_local_run(
    folder: Path, s3: S3Server, storage: dict[str, str], suffix: str
) -> None:
    data = scoring.write_files(folder)
    objects.score(folder, storage, data, "-o", f"s3://box/out.{suffix}", "--key", "id")
    scoring.score(folder, "data", *scoring.ALONE, "-o", f"out.{suffix}", "--key", "id")
    assert s3.content("box", f"out.{suffix}") == (folder / f"out.{suffix}").read_bytes()
    assert objects.seen(s3, "out") == [f"out.{suffix}"]


def test_done_is_done(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder)
    objects.score(folder, storage, data, *OUT, *scoring.ALONE)
    before = s3.content("box", "out/manifest.json"), s3.keys("box")
    done = objects.score(folder, storage, data, *OUT, *scoring.ALONE)
    assert "nothing to do, all 1,600 rows are there" in done.stdout
    assert (s3.content("box", "out/manifest.json"), s3.keys("box")) == before


def test_a_row_without_an_answer_is_in_the_quarantine(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, bad={7: -22.0})
    done = objects.score(folder, storage, data, *OUT, code=3)
    (line,) = s3.content("box", "out/_foretell/quarantine.jsonl").splitlines()
    assert json.loads(line)["key"] == {"id": 7}
    assert "s3://box/out/_foretell/quarantine.jsonl" in done.stdout
    assert scoring.answers(table(objects.parts(s3, "out"))) == scoring.expected(without=[7])


def test_what_was_put_aside_is_scored_again_there(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, files=2, bad={7: -66.0})
    objects.score(folder, storage, data, *OUT, code=3, model="models.py:Outage")
    kept = objects.parts(s3, "out")
    (folder / "mended").touch()
    objects.run(folder, storage, "retry", "s3://box/out")
    assert scoring.answers(table(objects.parts(s3, "out"))) == {**scoring.expected(files=2), 7: -66.0 + 7.5}
    assert "out/_foretell/quarantine.jsonl" not in s3.keys("box")
    replaced = set(kept) - set(objects.parts(s3, "out"))
    assert len(replaced) == 1
    assert any(name in key for key in s3.keys("box") for name in replaced), "readers of the old manifest still may"
    objects.score(folder, storage, data, *OUT, model="models.py:Outage")
    assert not any(name in key for key in s3.keys("box") for name in replaced)


def wait_for(s3: S3Server, shards: int, but: str = "-") -> None:
    """Until so many shards are committed, those of the job `but` not counted; the test's own limit ends it."""
    while sum("/shards/" in key and but not in key for key in s3.keys("box")) < shards:
        threading.Event().wait(0.01)


def test_a_job_whose_processes_are_all_killed_goes_on(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, files=6)
    with objects.started(folder, storage, data, *OUT, model="models.py:Gated") as process:
        wait_for(s3, 1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert objects.seen(s3, "out") == [], "readers saw an output that is not whole"
    before = {key: s3.content("box", key) for key in s3.keys("box") if "/shards/" in key or "/data/" in key}
    (folder / "go").touch()
    done = objects.score(folder, storage, data, *OUT, model="models.py:Gated")
    assert "of them now" in done.stdout, "what was committed was scored again"
    assert {key: s3.content("box", key) for key in before} == before
    scoring.score(folder, "--key", "id", "--file-size", "0", *scoring.ALONE, model="models.py:Gated")
    assert objects.parts(s3, "out") == scoring.parts(folder)


def test_a_second_live_job_on_the_same_output_is_refused(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, files=3)
    with objects.started(folder, storage, data, *OUT, model="models.py:Gated") as process:
        wait_for(s3, 1)
        for more in ((), ("--fresh",)):
            refused = objects.score(folder, storage, data, *OUT, *more, code=1, model="models.py:Gated")
            assert f"s3://box/out: another job writes here; got process {process.pid}" in refused.stderr
        (folder / "go").touch()
        assert process.wait() == 0
    assert scoring.answers(table(objects.parts(s3, "out"))) == scoring.expected(files=3)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
def test_half_of_all_requests_fail_and_the_bytes_are_the_same(
    folder: Path, s3: S3Server, storage: dict[str, str], seed: int
) -> None:
    data = scoring.write_files(folder)
    objects.upload(s3, data, "in")
    objects.score(folder, storage, "s3://box/in", "-o", "s3://box/calm", "--key", "id", *scoring.ALONE)
    with FaultProxy(s3.port, seed=seed) as proxy:
        objects.score(folder, s3.environment(proxy.url), "s3://box/in", *OUT)
        assert sum(count for fault, count in proxy.met.items() if fault != "passed") > 20
    assert objects.parts(s3, "out") == objects.parts(s3, "calm")
    assert objects.seen(s3, "out") == ["out/manifest.json"]


def test_readers_of_the_old_output_keep_it_until_a_fresh_one_is_whole(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    data = scoring.write_files(folder, files=2)
    objects.score(folder, storage, data, *OUT, *scoring.ALONE)
    old, kept = objects.manifest(s3, "out"), objects.parts(s3, "out")
    arguments = (data, *OUT, "--stamp", "--fresh")
    with objects.started(folder, storage, *arguments, model="models.py:Gated") as process:
        wait_for(s3, 1, but=old["job"])
        assert objects.manifest(s3, "out") == old
        assert objects.parts(s3, "out") == kept
        process.kill()
        process.wait()
    assert objects.parts(s3, "out") == kept
    (folder / "go").touch()
    objects.score(folder, storage, data, *OUT, "--stamp", *scoring.ALONE, model="models.py:Gated")
    new = objects.manifest(s3, "out")
    assert new["job"] != old["job"] and "digest" in new["columns"]
    for part in old["parts"]:
        assert s3.content("box", f"out/{part['file']}"), "whoever reads by the old manifest still may"
    objects.score(folder, storage, data, *OUT, "--stamp", *scoring.ALONE, model="models.py:Gated")
    assert not any(old["job"] in key for key in s3.keys("box")), "the next run clears what nobody reads any more"
    assert scoring.answers(table(objects.parts(s3, "out"))) == scoring.expected(files=2)


def test_a_fresh_run_of_the_same_job_takes_nothing_from_readers(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    data = scoring.write_files(folder, files=2)
    objects.score(folder, storage, data, *OUT)
    kept = objects.parts(s3, "out")
    with FaultProxy(s3.port, seed=1, rate=0.0) as proxy:
        watched: list[bool] = []
        proxy.when = lambda method, path: bool(watched.append(objects.parts(s3, "out") == kept))
        objects.score(folder, s3.environment(proxy.url), data, *OUT, "--fresh")
    assert watched and all(watched), "at some request a part of the output was not there"
    assert objects.parts(s3, "out") == kept


def test_an_object_that_changes_under_the_job_stops_it(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    data = scoring.write_files(folder, files=3)
    objects.upload(s3, data, "in")
    with objects.started(folder, storage, "s3://box/in", *OUT, "--processes", "1", model="models.py:Gated") as process:
        wait_for(s3, 1)
        s3.put("box", "in/02.parquet", (data / "00.parquet").read_bytes())
        (folder / "go").touch()
        _, errors = process.communicate()
    assert process.returncode == 1
    assert "s3://box/in/02.parquet: the input changed while it was read" in errors
    again = objects.score(folder, storage, "s3://box/in", *OUT, code=1, model="models.py:Gated")
    assert "the input changed (s3://box/in/02.parquet" in again.stderr
    assert objects.seen(s3, "out") == []


def test_credentials_that_are_refused_are_named_and_told_nowhere(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    data = scoring.write_files(folder, files=1)
    wrong = {**storage, "AWS_SECRET_ACCESS_KEY": "hush-" + SECRET_KEY}
    for arguments in ((data, *OUT), ("s3://box/in", "-o", "here")):
        done = objects.score(folder, wrong, *arguments, code=1)
        assert "the object storage refused the credentials" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert SECRET_KEY not in done.stderr + done.stdout
    objects.score(folder, storage, data, *OUT, *scoring.ALONE)
    for key in s3.keys("box"):
        assert SECRET_KEY.encode() not in s3.content("box", key)
        assert storage["AWS_ENDPOINT_URL"].encode() not in s3.content("box", key)


def test_credentials_that_run_out_stop_the_job_and_it_goes_on_later(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    data = scoring.write_files(folder, files=3)
    with objects.started(folder, storage, data, *OUT, model="models.py:Gated") as process:
        wait_for(s3, 1)
        s3.refuses = True
        (folder / "go").touch()
        _, errors = process.communicate()
    assert process.returncode == 1 and "the object storage refused the credentials" in errors
    s3.refuses = False
    done = objects.score(folder, storage, data, *OUT, model="models.py:Gated")
    assert "of them now" in done.stdout
    assert scoring.answers(table(objects.parts(s3, "out"))) == scoring.expected(files=3)


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_a_storage_that_is_gone_stops_the_job_and_it_goes_on_later(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    data = scoring.write_files(folder)
    with objects.started(folder, storage, data, *OUT, model="models.py:Gated") as process:
        wait_for(s3, 1)
        s3.goes()
        (folder / "go").touch()
        _, errors = process.communicate()
    assert process.returncode == 1
    assert "the object storage does not answer as it should; got no answer; run the same command again" in errors
    assert "Traceback" not in errors
    s3.comes_back()
    left = 4 - sum("/shards/" in key for key in s3.keys("box"))
    assert left > 0
    before = {key: s3.content("box", key) for key in s3.keys("box") if "/shards/" in key or "/data/" in key}
    done = objects.score(folder, storage, data, *OUT, model="models.py:Gated")
    assert f"1,600 rows, {left * scoring.ROWS:,} of them now" in done.stdout
    assert {key: s3.content("box", key) for key in before} == before
    assert scoring.answers(table(objects.parts(s3, "out"))) == scoring.expected()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-o", "s3://other/out"), "s3://other/out/_foretell: there is no such bucket"),
        (("-o", "s3://k:hush@box/out"), "s3://...@box: an address must not hold a name or a password"),
        (("-o", "ftp://box/out"), "there is no such kind of object storage"),
        (("-o", "s3://box/out.csv", "--output-format", "jsonl"), "s3://box/out.csv: the output has two formats"),
        (("-o", "s3://box/taken"), "s3://box/taken: there is something already"),
        (("-o", "s3://box/taken/x.csv"), "s3://box/taken/x.csv: there is something already"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_runs(
    folder: Path, s3: S3Server, storage: dict[str, str], arguments: tuple[str, ...], says: str
) -> None:
    s3.put("box", "taken/x.csv", b"1")
    done = program_score(folder, storage, *arguments)
    assert says in done and "hush" not in done
    assert s3.keys("box") == ["taken/x.csv"]


def program_score(folder: Path, storage: dict[str, str], *arguments: str) -> str:
    data = folder / "data"
    if not data.exists():
        scoring.write_files(folder, files=1)
    code = 1 if "other" in arguments[1] else 2
    return objects.score(folder, storage, data, *arguments, code=code).stderr


def test_plain_http_to_another_machine_needs_a_word(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    elsewhere = {**storage, "AWS_ENDPOINT_URL": "http://storage.example:9000"}
    done = objects.score(folder, elsewhere, scoring.write_files(folder, files=1), *OUT, *scoring.ALONE, code=2)
    assert "the endpoint is plain HTTP" in done.stderr and "AWS_ALLOW_HTTP=true" in done.stderr


def test_keys_come_from_the_profile_where_the_environment_has_none(
    folder: Path, s3: S3Server, storage: dict[str, str]
) -> None:
    (folder / "credentials").write_text(
        f"[work]\naws_access_key_id = {storage.pop('AWS_ACCESS_KEY_ID')}\n"
        f"aws_secret_access_key = {storage.pop('AWS_SECRET_ACCESS_KEY')}\n[empty]\n"
    )
    (folder / "config").write_text(
        f"[profile work]\nregion = us-east-1\nendpoint_url = {storage['AWS_ENDPOINT_URL']}\n"
    )
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_CONFIG_FILE": str(folder / "config")}
    data = scoring.write_files(folder, files=1)
    objects.score(folder, {**files, "AWS_PROFILE": "work"}, data, *OUT, *scoring.ALONE)
    assert len(objects.parts(s3, "out")) >= 1
    done = objects.score(folder, {**files, "AWS_PROFILE": "empty"}, data, *OUT, *scoring.ALONE, code=2)
    assert "AWS_PROFILE: the profile 'empty' holds no keys" in done.stderr


def test_the_files_in_the_making_are_gone_at_the_end(folder: Path, s3: S3Server, storage: dict[str, str]) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    data = scoring.write_files(folder)
    there = {**storage, "TMPDIR": str(temporary)}
    with objects.started(folder, there, data, *OUT, model="models.py:Gated") as process:
        wait_for(s3, 1)
        process.kill()
        process.wait()
    (folder / "go").touch()
    objects.score(folder, there, data, *OUT, model="models.py:Gated")
    assert [path for path in temporary.rglob("*") if "foretell" in path.name] == []
