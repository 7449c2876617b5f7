"""Runs that were set aside are taken back when the config wants them again: nothing is trained again."""

from __future__ import annotations

import pytest
from helpers.records_folder import CONFIG, merged, plan_of, run_all, stacks_of, train, tree

from normbench.counts import counted
from normbench.errors import RecordsError
from normbench.records import ResultsFolder


def aside(root, plan, gone):
    """Train a plan, then leave some of its runs out with `--keep-old`; return the plan that was left."""
    run_all(root, plan)
    left = plan_of([run for run in plan.runs if run.run_id not in gone])
    run_all(root, left, keep_old=True)
    return left


@pytest.mark.parametrize("share", [1, 3, 11])
def test_all_come_back_as_they_were(root, plan, expected, share):
    aside(root, plan, {run.run_id for run in plan.runs[:share]})
    assert merged(root) != expected
    kept = tree(root / "old")
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert folder.finished_ids() == {run.run_id for run in plan.runs}
        assert folder.warnings == [
            f"{counted(share, 'run')} that the config has again: taken back from {root / 'old' / '1'}"
        ]
    assert merged(root) == expected
    assert tree(root / "old") == kept
    assert not (root / "parts").exists()
    assert run_all(root, plan) == []


def test_those_of_two_folders_come_back_and_others_stay_aside(root, plan, expected):
    first, second = plan.runs[0].run_id, plan.runs[5].run_id
    left = aside(root, plan, {first})
    left = aside(root, left, {second})
    assert {path.name for path in (root / "old").iterdir()} == {"1", "2"}
    some = plan_of([run for run in plan.runs if run.run_id != second])
    run_all(root, some)
    assert first.encode() in (root / "runs.csv").read_bytes()
    assert second.encode() not in (root / "runs.csv").read_bytes()
    assert run_all(root, plan) == []
    assert merged(root) == expected


def test_a_result_in_the_folder_comes_before_one_that_was_set_aside(root, plan):
    gone = plan.runs[0].run_id
    aside(root, plan, {gone})
    path = root / "old" / "1" / "metrics.csv"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    run_all(root, plan)
    before = merged(root)
    run_all(root, plan)
    assert merged(root) == before


def test_a_stack_that_was_interrupted_and_set_aside_results_fit(root, plan, expected):
    """The stack goes on; the run of it that came back keeps its result."""
    gone = {run.run_id for run in plan.runs[4:8]}
    left = aside(root, plan, gone)
    assert left
    stack = stacks_of(plan)[1]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert folder.open_stacks() == []
        train(folder, stack, upto=5)  # as `--retry` or a replay would
    assert run_all(root, plan) == []
    assert merged(root) == expected


def test_killed_before_the_merge_takes_them_again(root, plan, expected, monkeypatch):
    aside(root, plan, {run.run_id for run in plan.runs[:3]})

    def killed(self, *args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResultsFolder, "merge", killed)
        with pytest.raises(KeyboardInterrupt):
            ResultsFolder(root).open_for_run(plan, CONFIG)
    assert run_all(root, plan) == []
    assert merged(root) == expected


def test_rows_missing_there_are_named(root, plan):
    one = next(run.run_id for run in plan.runs if run.values["optimizer.lr"] < 100)
    aside(root, plan, {one})
    path = root / "old" / "1" / "metrics.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    before = tree(root)
    with pytest.raises(RecordsError, match=rf"old/1/metrics.csv: rows .*{one} \(step 10\)"):
        run_all(root, plan)
    assert {name: data for name, data in tree(root).items() if name != ".lock"} == {
        name: data for name, data in before.items() if name != ".lock"
    }


def test_runs_set_aside_count_as_there_so_that_older_ids_are_found(root, plan):
    aside(root, plan, {plan.runs[0].run_id})
    assert plan.runs[0].run_id in ResultsFolder(root).run_ids()
