"""Several workers give the records of one process, even if workers are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import normbench
from normbench import api
from normbench.errors import NormbenchError
from normbench.launch import processes
from normbench.launch.idle import workers_stay
from normbench.launch.messages import Assignment
from normbench.launch.reporter import Reporter

CONFIG = """
name: small
seeds: 2
data: {name: digits, batch_size: 60, train_size: 600, test_size: 100}
model: {name: mlp, depth: 2, width: 16, dropout: {rate: 0.2, placement: after_activation}}
train: {steps: 200, eval_every: 20}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: [0.1, 1000000.0]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


def pids_of_workers() -> set[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


class Killer(Reporter):
    """Kills all workers when progress is reported for the `at`-th time; collects messages."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.messages: list[str] = []

    def advance(self, run_steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            for worker in pids_of_workers():
                os.kill(worker, signal.SIGKILL)

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
@pytest.mark.parametrize("at", [pytest.param(1, marks=pytest.mark.thorough), 16])
def test_workers_give_the_records_of_one_process_even_if_they_are_killed(
    config: Path, tmp_path: Path, at: int
) -> None:
    longer = ["train.steps=400"]
    alone = api.run(config, longer, results=tmp_path / "one", threads=1)
    killer = Killer(at)
    both = api.run(
        config,
        longer,
        results=tmp_path / "two",
        launcher="processes",
        workers=2,
        threads=1,
        checkpoint_every=0,
        reporter=killer,
    )
    assert any("killed" in message for message in killer.messages)
    if at > 1:
        assert any("continues at step" in message for message in killer.messages)
    assert both.trained == alone.trained == 8
    assert not (both.folder / "checkpoints").exists()
    assert (alone.folder / "metrics.csv").read_bytes() == (both.folder / "metrics.csv").read_bytes()
    timeless = [
        api.load(folder).runs.drop(columns="train_seconds").to_csv() for folder in (alone.folder, both.folder)
    ]
    assert timeless[0] == timeless[1]
    assert api.run(config, longer, results=tmp_path / "two", launcher="processes").trained == 0


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
def test_workers_live_through_all_rounds_of_a_search(config: Path, tmp_path: Path) -> None:
    class Watcher(Reporter):
        def __init__(self) -> None:
            self.rounds = 0
            self.seen = set[int]()

        def start(self, run_steps: int, runs: int) -> None:
            self.rounds += 1

        def advance(self, run_steps: int) -> None:
            self.seen |= pids_of_workers()

    watcher = Watcher()
    text = CONFIG.replace("[0.1, 1000000.0]", "{edge: {from: 0.1, to: 100, precision: 1.5}}")
    config.write_text(text.replace("steps: 200", "steps: 40"))
    api.run(config, results=tmp_path, launcher="processes", workers=2, threads=1, reporter=watcher)
    assert watcher.rounds > 1
    assert len(watcher.seen) == 2
    assert not pids_of_workers()


class Seen(Reporter):
    """Notes the workers of each session."""

    def __init__(self) -> None:
        self.workers = set[int]()

    def advance(self, run_steps: int) -> None:
        self.workers |= pids_of_workers()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
def test_workers_stay_for_the_next_session_of_a_block(config: Path, tmp_path: Path) -> None:
    def workers_of(name: str, threads: int) -> set[int]:
        seen = Seen()
        api.run(
            config,
            [f"name={name}", "train.steps=40"],
            results=tmp_path,
            launcher="processes",
            workers=2,
            threads=threads,
            reporter=seen,
        )
        return seen.workers

    with workers_stay():
        first = workers_of("first", threads=1)
        assert workers_of("second", threads=1) == first == pids_of_workers()
        others = workers_of("third", threads=2)  # no worker of the first kind is left
        assert len(first) == len(others) == 2
        assert not first & others
        assert pids_of_workers() == others
    assert not pids_of_workers()
    assert (tmp_path / "first" / "metrics.csv").read_bytes() == (
        tmp_path / "second" / "metrics.csv"
    ).read_bytes()


def test_stopping_ends_all_workers_and_running_again_completes(config: Path, tmp_path: Path) -> None:
    longer = ["train.steps=800"]

    def begun() -> bool:
        return any(path.stat().st_size > 2000 for path in tmp_path.glob("small/parts/*.metrics.csv"))

    stopped = api.run(
        config,
        longer,
        results=tmp_path,
        launcher="processes",
        workers=2,
        threads=1,
        should_stop=begun,
    )
    assert stopped.interrupted
    assert any((stopped.folder / "checkpoints").iterdir())
    killer = Killer(0)
    done = api.run(config, longer, results=tmp_path, threads=1, reporter=killer)
    assert not done.interrupted
    assert any("continues at step" in message for message in killer.messages)
    assert set(api.load(done.folder).runs["status"]) == {"finished", "diverged"}


def test_a_stack_whose_workers_are_killed_again_and_again_is_halved_and_then_crashed(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = processes.Worker.train

    def killing(self: processes.Worker, assignment: Assignment) -> None:
        if any(run.seed == 0 for run in assignment.stack.runs):
            self.process.kill()
        train(self, assignment)

    monkeypatch.setattr(processes.Worker, "train", killing)
    killer = Killer(0)
    fatal = ["sweep.model.norm=[none]", "sweep.optimizer.lr=[0.1]"]
    done = api.run(
        config, fatal, results=tmp_path, launcher="processes", workers=1, threads=1, reporter=killer
    )
    assert (done.trained, done.crashed) == (1, 1)
    again = [message for message in killer.messages if "a new one continues with mlp depth 2" in message]
    assert len(again) == 2  # for the stack of both runs and for the half at fault
    assert all("a worker was killed by SIGKILL" in message for message in again)
    (crash,) = [message for message in killer.messages if "1 run crashed" in message]
    assert "was killed by SIGKILL" in crash
    assert "fewer --workers" in crash
    monkeypatch.undo()
    assert api.run(config, fatal, results=tmp_path, threads=1, retry={"crashed"}).trained == 1


@pytest.mark.parametrize("code", [0, 1, 139])
def test_a_worker_that_leaves_by_itself_is_told_from_a_killed_one(code: int) -> None:
    class Ended:
        exitcode = code

        def join(self, timeout: float | None = None) -> None:
            pass

        def is_alive(self) -> bool:
            return False

    worker = object.__new__(processes.Worker)
    worker.pipe, worker.process, worker.ready = contextlib.nullcontext(), Ended(), True  # type: ignore
    worker.pipe.close = lambda: None  # type: ignore[attr-defined]
    assert worker.end() == f"ended with exit code {code}"
    worker.ready = False
    with pytest.raises(NormbenchError, match=f"could not start .exit code {code}"):
        worker.end()


SCRIPT = """
import normbench
print("imported", flush=True)
{guard}
    normbench.run({config!r}, results={results!r}, launcher={launcher!r}, workers=2, threads=1)
"""


@pytest.mark.parametrize(
    "guard", ["if True:", pytest.param("if __name__ == '__main__':", marks=pytest.mark.thorough)]
)
def test_a_script_without_the_guard_is_told_so(config: Path, tmp_path: Path, guard: str) -> None:
    script = tmp_path / "mine.py"
    words = {"config": str(config), "results": str(tmp_path), "launcher": "processes", "guard": guard}
    script.write_text(SCRIPT.format(**words))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, env=_with_source()
    )
    assert done.stdout.count("imported") <= 3  # here and in each worker: no worker starts others
    if "__name__" in guard:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "mine.py calls normbench.run outside of `if __name__" in last
    assert done.stderr.count("Traceback") == 1  # that of the script itself
    assert "bootstrapping" not in done.stderr


def test_a_script_from_a_pipe_cannot_have_workers_and_is_told_so(config: Path, tmp_path: Path) -> None:
    words = {"config": str(config), "results": str(tmp_path), "launcher": "processes", "guard": "if True:"}
    done = subprocess.run(
        [sys.executable, "-"],
        input=SCRIPT.format(**words),
        capture_output=True,
        text=True,
        timeout=120,
        env=_with_source(),
    )
    assert done.returncode == 1
    assert "a worker could not start (exit code 1" in done.stderr.splitlines()[-1]


def _with_source() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(normbench.__file__).parents[1])}


def test_workers_without_processes_are_refused(config: Path, tmp_path: Path) -> None:
    with pytest.raises(NormbenchError, match="--launcher processes"):
        api.run(config, results=tmp_path, workers=2)
    assert not (tmp_path / "small").exists()
