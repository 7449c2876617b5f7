"""Configs of the book are committed before their results: git's dates say so.

The settings of a config are older than its results if the last commit that changed them was authored before
the first commit of any run that runs.csv has today. A run's id is a hash of its settings and seed. So results
that are trained again with other seeds or settings count as new ones. Those of the same seeds do not: they
would be the same numbers. Comments and the words in `WORDS` are no settings; the claims are.
"""

from __future__ import annotations

import copy
import csv
import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from normbench.config.loader import parse
from normbench.config.problems import Problems, Where

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in ROOT.glob("results/claims/*/runs.csv"))
WORDS = ("title", "reports")  # of a config and of its claims: they change no number and no verdict

CONFIG = """\
name: x
seeds: [1, 2]
claims:
  - {id: C1, statement: Yes., reports: nothing, expect: {ratio_at_least: 1}}
"""
RUNS = "run_id,seed\naaaa,1\nbbbb,2\n"


def git(*words: str, root: Path, **env: str) -> str:
    """Return what a git command prints."""
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=True, env={**os.environ, **env}
    )
    return done.stdout


def why_no_history(root: Path) -> str:
    """Return why git's dates cannot be read here; empty if they can."""
    if shutil.which("git") is None:
        return "git is not installed"
    if not (root / ".git").exists():
        return "this is no clone"
    return "the clone is shallow" * ("true" in git("rev-parse", "--is-shallow-repository", root=root))


def versions(path: str, root: Path) -> list[tuple[int, str]]:
    """Return the author's time and the content of each commit that has a file, the oldest first."""
    log = git("log", "--format=%H %at", "--reverse", "--diff-filter=AMT", "--", path, root=root)
    commits = [line.split() for line in log.splitlines()]
    return [(int(time), git("show", f"{commit}:{path}", root=root)) for commit, time in commits]


def settings(text: str) -> Any:
    """Return the content of a config without the words that are no settings."""
    plain = copy.deepcopy(parse(text, Where("config"), Problems()).plain)
    for part in [plain, *plain.get("claims", [])]:
        for word in WORDS:
            part.pop(word, None)
    return plain


def run_ids(text: str) -> set[str]:
    return {row["run_id"] for row in csv.DictReader(io.StringIO(text))}


def problem(name: str, root: Path) -> str:
    """Return why the settings of an experiment are not known to be older than its results; empty if they are.

    Results that are not committed yet have no date. Their config must be committed.
    """
    config, runs = f"configs/claims/{name}.yaml", f"results/claims/{name}/runs.csv"
    today = settings((root / config).read_text(encoding="utf-8"))
    since = None
    for time, text in reversed(versions(config, root)):
        if settings(text) != today:
            break
        since = time
    if since is None:
        return f"{config}: its settings are not committed, but there are results"
    ids = run_ids((root / runs).read_text(encoding="utf-8"))
    first = next((time for time, text in versions(runs, root) if ids & run_ids(text)), None)
    if first is None or since < first:
        return ""
    return (
        f"{config}: its settings were changed {since - first} s after the first commit of runs that are in "
        f"{runs} today; train it with other seeds, or restore the settings"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_older_than_its_results(name: str) -> None:
    if reason := why_no_history(ROOT):
        pytest.skip(f"git's dates are not known: {reason}")
    assert problem(name, ROOT) == ""


class Clone:
    """A small repository with a commit each hour."""

    def __init__(self, root: Path) -> None:
        self.root, self.hour = root, 0
        for folder in ("configs/claims", "results/claims/x"):
            (root / folder).mkdir(parents=True)
        git("init", "-q", root=root)

    def commit(self, config: str | None = None, runs: str | None = None) -> None:
        """Commit a config, runs or both."""
        self.write(config, runs)
        self.hour += 1
        date = f"2020-01-01T{self.hour:02}:00:00Z"
        person = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false")
        git("add", "-A", root=self.root)
        git(*person, "commit", "-qm", "x", root=self.root, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)

    def write(self, config: str | None = None, runs: str | None = None) -> None:
        """Write them without a commit."""
        for path, text in (("configs/claims/x.yaml", config), ("results/claims/x/runs.csv", runs)):
            if text is not None:
                (self.root / path).write_text(text, encoding="utf-8")

    @property
    def problem(self) -> str:
        return problem("x", self.root)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Clone(tmp_path)


def test_the_config_may_come_an_hour_earlier_but_not_with_its_results(clone):
    clone.commit(config=CONFIG)
    clone.write(runs=RUNS)
    assert clone.problem == ""
    clone.commit()
    assert clone.problem == ""


def test_config_and_results_in_one_commit_are_found(clone):
    clone.commit(config=CONFIG, runs=RUNS)
    assert "changed 0 s after" in clone.problem


def test_comments_and_words_may_change_later_but_no_claim(clone):
    clone.commit(config=CONFIG)
    clone.commit(runs=RUNS)
    words = CONFIG.replace("nothing", "Fig. 1")
    clone.commit(config=f"# said better\ntitle: X\n{words}")
    assert clone.problem == ""
    clone.write(config=CONFIG.replace("ratio_at_least: 1", "ratio_at_least: 0.5"))
    assert "not committed" in clone.problem
    clone.commit()
    assert "changed 7200 s after" in clone.problem
    clone.commit(config=CONFIG)  # and back: nobody knows why
    assert "changed 10800 s after" in clone.problem


def test_results_of_other_seeds_are_new_ones_and_more_seeds_are_not(clone):
    clone.commit(config=CONFIG)
    clone.commit(runs=RUNS)
    clone.commit(config=CONFIG.replace("[1, 2]", "[3, 4]"))
    clone.commit(runs="run_id,seed\ncccc,3\ndddd,4\n")
    assert clone.problem == ""
    clone.commit(config=CONFIG.replace("[1, 2]", "[3, 4, 5]"))
    clone.commit(runs="run_id,seed\ncccc,3\ndddd,4\neeee,5\n")
    assert "changed 3600 s after" in clone.problem
