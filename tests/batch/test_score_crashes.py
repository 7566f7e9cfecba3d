"""Jobs that are killed, and what another run makes of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import program
import psutil
import pytest
import scoring
from looking import until

FILES, KILLS = 24, 20


def _until(path: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Waits for a file; the job must not end before."""

    def there() -> bool:
        assert process.poll() is None, "it ended before"
        return any(path.glob(pattern))

    until(there)


def test_a_job_that_was_killed_goes_on_where_it_stopped(folder: Path) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", model="models.py:Gated") as job:
        _until(folder / "out", "_foretell/*/shards/000000.json", job)
        children = psutil.Process(job.pid).children(recursive=True)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert not (folder / "out" / "data").exists()
    (folder / "go").touch()
    done = scoring.score(folder, "--key", "id", model="models.py:Gated")
    assert "1,600 rows, 1,200 of them now" in done.stdout
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_twenty_kills_at_random_change_nothing(tmp_path: Path) -> None:
    calm, wild = scoring.fill(tmp_path / "calm"), scoring.fill(tmp_path / "wild")
    scoring.write_files(calm, files=FILES)
    os.symlink(calm / "data", wild / "data")
    scoring.dole(calm, FILES)
    scoring.score(calm, "--key", "id", model="models.py:Doled")
    chance, let = random.Random(11), 0
    # The job or a process of it, and how many shards were committed then.
    killed: list[tuple[str, int]] = []
    children: list[psutil.Process] = []
    scoring.dole(wild, let)
    while len(killed) < KILLS:
        with scoring.started(wild, "--key", "id", "--processes", "2", model="models.py:Doled") as job:
            _until(wild / "out", "_foretell/*/job.json", job)
            while job.poll() is None and len(killed) < KILLS:
                until(lambda job=job: job.poll() is not None or len(_living(job)) == 2)
                if job.poll() is not None:
                    break  # what was killed was the only process that had loaded the model: it may be the model's fault
                moment, before = chance.choice(["waits", "works", "has committed"]), _committed(wild)
                if moment != "waits":
                    let += 1
                    scoring.dole(wild, let)
                if moment == "has committed":
                    until(lambda job=job, before=before: job.poll() is not None or _committed(wild) > before)
                if job.poll() is not None:
                    break
                of_job = chance.random() < 0.4 or len(killed) == KILLS - 1
                if not (children := _living(job)):
                    continue  # it is about to end, or to start others
                assert job.poll() is None and _committed(wild) < FILES, "there was nothing to kill any more"
                killed.append(("job" if of_job else "process", _committed(wild)))
                (job if of_job else chance.choice(children)).kill()
                if of_job:
                    assert job.wait(60) == -signal.SIGKILL
        assert psutil.wait_procs(children, timeout=60)[1] == []
    assert {what for what, _ in killed} == {"job", "process"}
    assert sum(0 < shards < FILES for _, shards in killed) > KILLS / 2, killed
    left = FILES - _committed(wild)
    scoring.dole(wild, FILES)
    done = scoring.score(wild, "--key", "id", model="models.py:Doled")
    assert f"{FILES * scoring.ROWS:,} rows, {left * scoring.ROWS:,} of them now" in done.stdout
    assert scoring.parts(wild) == scoring.parts(calm)
    assert scoring.answers(scoring.table(wild)) == scoring.expected(files=FILES)


def test_a_full_disk_is_told_with_what_to_do_and_the_job_goes_on_later(folder: Path) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", model="models.py:DiskFull") as job:
        _until(folder / "out", "_foretell/*/shards/000000.json", job)
        (folder / "full").touch()
        (folder / "go").touch()
        _, said = job.communicate(timeout=60)
    assert job.returncode == 1
    assert "the output cannot be written: No space left on device" in said
    assert "make room, and run the same command again: it goes on where it stopped" in said
    assert not (folder / "out" / "data").exists()
    (folder / "full").unlink()
    left = 4 - _committed(folder)
    assert left > 0
    done = scoring.score(folder, "--key", "id", model="models.py:DiskFull")
    assert f"1,600 rows, {left * scoring.ROWS:,} of them now" in done.stdout
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def _living(job: subprocess.Popen[str]) -> list[psutil.Process]:
    """Its processes that have not ended."""
    found = []
    for child in psutil.Process(job.pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if child.status() != psutil.STATUS_ZOMBIE else []
    return found


def _committed(folder: Path) -> int:
    return sum(1 for _ in (folder / "out").glob("_foretell/*/shards/*.json"))


def test_a_process_that_is_killed_is_replaced(folder: Path) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", model="models.py:Gated") as job:
        _until(folder / "out", "_foretell/*/shards/000000.json", job)
        for child in psutil.Process(job.pid).children():
            child.kill()
        (folder / "go").touch()
        _, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert "ended with signal 9" in said
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_a_process_that_is_killed_while_it_loads_what_others_have_is_replaced(folder: Path) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", "--processes", "2", model="models.py:SecondLate") as job:
        _until(folder / "out", "_foretell/*/shards/000000.json", job)
        first = int((folder / "first").read_text())
        (late,) = [child for child in psutil.Process(job.pid).children() if child.pid != first]
        late.kill()
        (folder / "again").touch()
        (folder / "go").touch()
        _, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_a_second_job_on_the_same_output_is_refused(folder: Path) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", model="models.py:Gated") as job:
        _until(folder / "out", "_foretell/*/shards/000000.json", job)
        done = scoring.score(folder, "--key", "id", model="models.py:Gated", code=1)
        assert f"another job writes here; got process {job.pid}" in done.stderr
        (folder / "go").touch()
        assert job.wait(60) == 0
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_an_interrupt_ends_the_job_and_its_processes(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    with scoring.started(folder, "--key", "id", model="models.py:Waiting") as job:
        _until(folder, "began-*", job)
        children = psutil.Process(job.pid).children(recursive=True)
        job.send_signal(signal.SIGINT)
        assert job.wait(60) == 130
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


@pytest.mark.parametrize("what", ["input", "model", "settings"])
def test_what_changed_is_noticed_and_refused_or_started_afresh(folder: Path, what: str) -> None:
    data = scoring.write_files(folder)
    scoring.score(folder, *scoring.ALONE, "--key", "id")
    more: list[str] = []
    if what == "input":
        os.utime(data / "02.parquet", (1, 1))
    elif what == "model":
        (folder / "models.py").write_text(scoring.MODELS + "\n# another\n")
    else:
        more = ["--stamp"]
    done = scoring.score(folder, *scoring.ALONE, "--key", "id", *more, code=1)
    told = "02.parquet: it was written again" if what == "input" else f"the {what} changed"
    assert told in done.stderr
    assert "--fresh" in done.stderr
    assert scoring.answers(scoring.table(folder)) == scoring.expected()
    scoring.score(folder, *scoring.ALONE, "--key", "id", *more, "--fresh")
    assert scoring.answers(scoring.table(folder)) == scoring.expected()
    assert len(list((folder / "out" / "_foretell").glob("*/job.json"))) == 1


def test_an_input_that_changes_while_it_is_read_stops_the_job(folder: Path) -> None:
    data = scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", "--processes", "1", model="models.py:Gated") as job:
        _until(folder / "out", "_foretell/*/shards/000000.json", job)
        os.utime(data / "01.parquet", (1, 1))
        (folder / "go").touch()
        _, said = job.communicate(timeout=60)
    assert job.returncode == 1
    assert "01.parquet: the input changed while it was read: it was written again" in said
    assert not (folder / "out" / "data").exists()


def test_a_model_that_changes_its_outputs_between_shards_is_refused(folder: Path) -> None:
    scoring.write_files(folder)
    done = scoring.score(folder, "--key", "id", model="models.py:Changing", code=1)
    assert "the model changed the types of its outputs between shards" in done.stderr


@pytest.mark.parametrize("most", [1, 24], ids=["the record of the job", "a part"])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_disk_without_room_stops_the_job_which_goes_on_later(folder: Path, most: int, suffix: str) -> None:
    scoring.write_files(folder, files=2, rows=20_000)
    words = program.command("score", "models.py:Sum", "data", "-o", f"out.{suffix}", "--key", "id")
    # A limit on the size of files is what a test can have of a full disk without being root.
    shell = ["bash", "-c", f'ulimit -f {most}; exec "$@"', "bash", *words]
    done = subprocess.run(shell, cwd=folder, env=program.environment(), capture_output=True, text=True, timeout=60,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert "the output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / f"out.{suffix}").exists()
    done = program.run(*words[3:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "40,000 rows" in done.stdout
