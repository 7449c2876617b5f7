"""Results folders that are damaged at random (seeded), and sweeps that are killed and go on: what must hold.

`benchmarks/torture_folders.py` does it 100 times each, `tests/launch/test_torture.py` a few times.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from helpers.cli import call
from helpers.launch import after, records, train

CONFIG = """
name: tiny
seeds: 2
data: {name: digits, train_size: 100, test_size: 20, batch_size: 20}
model: {name: mlp, depth: 1, width: 4}
train: {steps: 60, eval_every: 20}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: [0.1, 1.0e+30]
claims:
  - {id: A, statement: large rates do not train, measure: max_stable_lr, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {ratio_at_least: 1}}
"""
PROBED = CONFIG + "probes: [weights]\n"
EDGE = """
name: tiny
seeds: 2
data: {name: digits, train_size: 100, test_size: 20, batch_size: 20}
model: {name: mlp, depth: 1, width: 4}
train: {steps: 40, eval_every: 20}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: {edge: {from: 0.1, to: 10, precision: 2}}
"""
TABLES = ("metrics.csv", "runs.csv")
MOST_FLIPS = 4
FOREIGN = b"a thesis, finished the night before"


def command(place: Path, config: str, *options: str) -> tuple[int, str]:
    """Run a config in this process; return the exit code and what was said."""
    place.mkdir(exist_ok=True)
    path = place / "tiny.yaml"
    path.write_text(config, encoding="utf-8")
    words = ("run", path, "--results", place, "--threads", "1", "--device", "cpu", *options)
    return _called(*words)


def _called(*words: object) -> tuple[int, str]:
    result = call(*words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{words[0]}: {result.exception!r}") from result.exception
    assert "Traceback" not in result.stderr, result.stderr
    return result.exit_code, result.stderr


# ------------------------------------------------------------------------------------------------ kills


def forked(work: Callable[[], object], kill_after: float | None = None) -> tuple[bool, float]:
    """Do some work in a child process, killed after some seconds; return whether it was, and the seconds."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # the child must not go on as its parent
            os.write(2, f"{error!r}\n".encode())
            os._exit(70)
        os._exit(0)
    if kill_after is not None:
        while time.monotonic() - began < kill_after and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            return False, time.monotonic() - began
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status), time.monotonic() - began


class Scenario:
    """What is killed: a command, in a place that a command before may have prepared."""

    def __init__(self, name: str, root: Path, config: str, before: str | None, *options: str) -> None:
        self.name, self.root, self.config, self.options = name, root, config, options
        self.prepared = root / f"{name} prepared"
        self.prepared.mkdir()
        if before is not None:
            forked(lambda: self._done(self.prepared, before, "--no-figures"))
        self.whole = root / f"{name} whole"
        shutil.copytree(self.prepared, self.whole)
        _, self.seconds = forked(lambda: self._done(self.whole, config, *options))

    def _done(self, place: Path, config: str, *options: str) -> None:
        code, said = command(place, config, "--checkpoint-every", "0", *options)
        assert code == 0, said

    def kill(self, share: float, number: int) -> str | None:
        """Kill it at this share of its time, run it again to its end, and look; return what it was doing."""
        place = self.root / f"{self.name} {number}"
        shutil.copytree(self.prepared, place)
        killed, _ = forked(lambda: self._done(place, self.config, *self.options), share * self.seconds)
        doing = _doing(place / "tiny") if killed else None
        finished = _finished(place / "tiny")
        forked(lambda: self._done(place, self.config, *self.options))
        assert records(place) == records(self.whole), (self.name, share)
        for name in ("layers.csv", "claims.csv"):
            one, other = place / "tiny" / name, self.whole / "tiny" / name
            assert one.exists() == other.exists(), name
            assert not one.exists() or one.read_bytes() == other.read_bytes(), name
        now = _finished(place / "tiny")
        assert finished.items() <= now.items(), "a finished row changed"
        left = [str(path) for path in (place / "tiny").rglob("*normbench-tmp")]
        assert not left
        assert not (place / "tiny" / "parts").exists()
        assert not (place / "tiny" / "run.lock").exists()
        shutil.rmtree(place)
        return doing


def _finished(folder: Path) -> dict[str, str]:
    """Return the rows of finished runs in runs.csv with all their cells, the time they took included."""
    path = folder / "runs.csv"
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return {
            row.get("run_id", ""): json.dumps(row)
            for row in csv.DictReader(file)
            if row.get("status") in ("finished", "diverged")
        }


def _doing(folder: Path) -> str:
    """Return what a command was doing when it was killed, by what it left."""
    if list(folder.glob("*.csv.normbench-tmp")):
        return "merging"
    if list((folder / "checkpoints").glob("*.normbench-tmp")):
        return "writing a checkpoint"
    if list((folder / "parts").glob("*.json")):
        return "training"
    if (folder / "plots").exists():
        return "drawing"
    return "before or between"


# ---------------------------------------------------------------------------------------------- damages


class Damages:
    """Damages copies of a folder in which some runs are finished and a stack is interrupted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outside = root / "outside"
        self.outside.mkdir()
        for name in ("thesis.tex", "0123abcd.pt", "metrics.csv", "run.lock"):
            (self.outside / name).write_bytes(FOREIGN)
        train(root / "whole", CONFIG)
        self.whole = root / "whole"
        train(root / "begun", CONFIG, checkpoint_every=0, should_stop=after(4))
        done, began = _finished(root / "begun" / "tiny"), root / "begun" / "tiny"
        assert 0 < len(done) < 8, len(done)
        assert list(began.glob("checkpoints/*.pt")), "no stack was interrupted"

    def try_one(self, seed: int, with_plot: bool = True) -> tuple[str, str]:
        """Damage a copy, give it to the commands, and look; return the kind and how `run` answered."""
        draw = random.Random(seed)
        place = self.root / str(seed)
        shutil.copytree(self.root / draw.choice(["begun", "whole"]), place, symlinks=True)
        folder = place / "tiny"
        kind, done = KINDS[seed % len(KINDS)], set(_finished(folder))
        foreign = kind(folder, draw, self.outside) or {}
        harmless = kind in HARMLESS
        before = _finished(self.root / "whole" / "tiny")
        had = done if harmless else set()
        plot = [("plot", "--figure", "rate", "--format", "png")] if with_plot else []
        for words in (("status",), ("verify",), *plot):
            code, said = _called(words[0], folder, *words[1:])
            assert code in (0, 1, 2, 3), said
        files = {path: path.read_bytes() for path in folder.glob("*.csv") if path.is_file()}
        code, said = command(place, CONFIG, "--no-figures")
        assert code in (0, 2), (kind.__name__, said)
        for name in os.listdir(self.outside):
            assert (self.outside / name).read_bytes() == FOREIGN, (kind.__name__, name)
        assert len(os.listdir(self.outside)) == 4
        for path, data in foreign.items():
            assert path.read_bytes() == data, (kind.__name__, path)
        if code == 2:
            assert said.strip(), kind.__name__
            for path, data in files.items():
                assert path.read_bytes() == data, (kind.__name__, path, said)
        else:
            _same_results(place, self.whole, before, had, kind.__name__, harmless)
        shutil.rmtree(place)
        return kind.__name__, "refused" if code else "went on"


def _same_results(
    place: Path, whole: Path, before: dict[str, str], had: set[str], kind: str, harmless: bool
) -> None:
    """Compare what `run` made of a damaged folder with an undisturbed training."""
    assert _finished(place / "tiny").keys() == before.keys(), kind
    other = _differences(place / "tiny" / "metrics.csv", whole / "tiny" / "metrics.csv")
    assert other <= (MOST_FLIPS if kind == "flipped" else 0), (kind, f"{other} rows of metrics.csv differ")
    if kind != "flipped":
        left_out = ("train_seconds", "stack")
        assert _without(place, left_out) == _without(whole, left_out), kind
    if harmless:
        sessions = json.loads((place / "tiny" / "environment.json").read_bytes())["sessions"]
        steps = sessions[-1].get("run_steps", 0) if len(sessions) > 1 else 0
        assert steps <= 60 * (len(before) - len(had)), (kind, "finished runs were trained again")


def _without(place: Path, columns: tuple[str, ...]) -> list[dict[str, object]]:
    """Return the rows of runs.csv with numbers to 5 digits, without some columns."""
    return [{key: _value(cell) for key, cell in row.items()} for row in records(place, columns)[1]]


def _differences(one: Path, other: Path) -> int:
    rows, others = _numbers(one), _numbers(other)
    assert len(rows) == len(others)
    return sum(first != second for first, second in zip(rows, others, strict=True))


def _numbers(path: Path) -> list[list[object]]:
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    return [[_value(cell) for cell in row] for row in rows]


def _value(cell: str) -> object:
    try:
        return f"{float(cell):.4e}"
    except ValueError:
        return cell


def _file(folder: Path, draw: random.Random, *patterns: str) -> Path:
    found = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return draw.choice(found or [folder / "runs.csv"])


def truncated(folder: Path, draw: random.Random, outside: Path) -> None:
    path = _file(folder, draw, "*.csv", "parts/*", "checkpoints/*", "*.yaml", "*.json")
    os.truncate(path, draw.randrange(path.stat().st_size))


def flipped(folder: Path, draw: random.Random, outside: Path) -> None:
    path = _file(folder, draw, "*.csv", "parts/*", "checkpoints/*", "*.yaml", "*.json")
    data = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, MOST_FLIPS)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def reordered(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / draw.choice(TABLES)
    head, *rows = path.read_bytes().splitlines(keepends=True)
    draw.shuffle(rows)
    path.write_bytes(b"".join([head, *rows]))


def quoted(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / draw.choice(TABLES)
    out = io.StringIO()
    ends = draw.choice(["\n", "\r\n"])
    rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=ends).writerows(rows)
    path.write_bytes(draw.choice([b"", b"\xef\xbb\xbf"]) + out.getvalue().encode())


def unended(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / draw.choice(TABLES)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))


def rows_removed(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / "metrics.csv"
    head, *rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([head, *(row for row in rows if draw.random() < 0.7)]))


def file_removed(folder: Path, draw: random.Random, outside: Path) -> None:
    _file(folder, draw, "*.yaml", "*.json", "parts/*", "checkpoints/*").unlink()


def folder_removed(folder: Path, draw: random.Random, outside: Path) -> None:
    shutil.rmtree(folder / draw.choice(["parts", "checkpoints"]), ignore_errors=True)


def linked_folder(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / draw.choice(["parts", "checkpoints", "plots", "crashes", "old", "plugins"])
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(outside)


def linked_file(folder: Path, draw: random.Random, outside: Path) -> None:
    names = ["run.lock", ".lock", "claims.csv", "runs.csv.normbench-tmp", "claims.csv.normbench-tmp"]
    path = folder / draw.choice([*names, "metrics.csv.normbench-tmp", "environment.json"])
    path.unlink(missing_ok=True)
    path.symlink_to(outside / draw.choice(["thesis.tex", "run.lock"]))


def broken_link(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / draw.choice(["run.lock", ".lock", "old", "plots", "claims.csv.normbench-tmp"])
    path.unlink(missing_ok=True)
    path.symlink_to(outside / "not there")


def foreign_file(folder: Path, draw: random.Random, outside: Path) -> dict[Path, bytes]:
    place = folder / draw.choice([".", "parts", "checkpoints", "plots", "crashes"])
    place.mkdir(exist_ok=True)
    names = ["notes.txt", "package.json", "thesis.metrics.csv", "model.pt", "data.csv", "runs.csv.tmp"]
    path = place / draw.choice(names)
    path.write_bytes(FOREIGN)
    return {path: FOREIGN}


def malformed_lock(folder: Path, draw: random.Random, outside: Path) -> None:
    texts = [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": 0}', b'{"pid": "x", "host": 1}', b"null", b"\0" * 999]
    (folder / "run.lock").write_bytes(draw.choice(texts))


def another_file_there(folder: Path, draw: random.Random, outside: Path) -> None:
    path = folder / draw.choice(["parts", "checkpoints", "plots", "old", "crashes"])
    shutil.rmtree(path, ignore_errors=True)
    path.write_bytes(b"a file in place of a folder")


KINDS = (
    *(truncated, flipped, reordered, quoted, unended, rows_removed, file_removed, folder_removed),
    *(linked_folder, linked_file, broken_link, foreign_file, malformed_lock, another_file_there),
)
HARMLESS = {reordered, quoted, unended, foreign_file, malformed_lock}  # nothing finished is lost by them
