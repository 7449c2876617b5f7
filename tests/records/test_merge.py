"""The merged files have the same bytes whatever happened before the merge."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tracemalloc
from pathlib import Path

import pytest
from helpers.records_folder import (
    CONFIG,
    end,
    evaluation,
    events,
    make_plan,
    merged,
    run_all,
    stacks_of,
    train,
)

from normbench.errors import RecordsError
from normbench.records import ResultsFolder, folder_status, read_metrics, read_runs
from normbench.records.parts import Manifest
from normbench.records.schema import METRICS, PART_RUNS

FILES = {"config.yaml", "metrics.csv", "runs.csv"}


SUMMARISED = [("final", "loss"), ("best", "loss"), ("best", "accuracy")]


def test_rows_are_in_the_plans_order_with_steps_ascending(root, plan):
    run_all(root, plan)
    frame = read_metrics(root)
    assert list(frame["run_id"].drop_duplicates()) == [run.run_id for run in plan.runs]
    assert frame.groupby("run_id", observed=True)["step"].apply(lambda s: s.is_monotonic_increasing).all()
    runs = read_runs(root).astype({f"{form}_test_{what}": "float32" for form, what in SUMMARISED})
    last = frame.groupby("run_id", observed=True, sort=False)
    assert runs["final_test_loss"].tolist() == last["test_loss"].last().tolist()
    assert runs["best_test_loss"].tolist() == last["test_loss"].min().tolist()
    assert runs["best_test_accuracy"].tolist() == last["test_accuracy"].max().tolist()
    assert set(runs.loc[runs["optimizer.lr"] == 100, "outcome"]) == {"diverged"}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_stacks_is_not_in_the_bytes(root, plan, expected, seed):
    def shuffled(stacks):
        random.Random(seed).shuffle(stacks)
        return stacks

    run_all(root, plan, order=shuffled)
    assert merged(root) == expected


def test_how_runs_are_stacked_is_only_in_the_stack_column(root, plan, expected):
    run_all(root, plan, size=1)
    assert merged(root)["metrics.csv"] == expected["metrics.csv"]


def test_merging_after_each_stack_gives_the_same(root, plan, expected):
    for stack in reversed(stacks_of(plan)):
        with ResultsFolder(root) as folder:
            folder.open_for_run(plan, CONFIG)
            train(folder, stack)
            folder.merge()
    assert merged(root) == expected


def test_a_second_run_trains_nothing_and_touches_no_file(root, plan):
    assert len(run_all(root, plan)) == 3
    before = {path: path.stat().st_mtime_ns for path in (root / "runs.csv", root / "metrics.csv")}
    assert run_all(root, plan) == []
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (root / "parts").exists()


def test_added_seeds_and_rates_keep_what_is_there(root, plan):
    run_all(root, plan)
    lines = set(merged(root)["runs.csv"].splitlines())
    more = make_plan(seeds=4, rates=(0.1, 0.5, 1.0, 100.0))
    with ResultsFolder(root) as folder:
        folder.open_for_run(more, CONFIG)
        assert folder.finished_ids() == {run.run_id for run in plan.runs}
    after = merged(root)["runs.csv"].splitlines()
    assert lines <= set(after)
    assert len(after) == 1 + len(more.runs)
    assert folder_status(root).statuses["pending"] == len(more.runs) - len(plan.runs)


def test_another_trains_below_needs_no_training(root, plan):
    run_all(root, plan)
    assert read_runs(root)["outcome"].tolist().count("stuck") > 0
    assert run_all(root, make_plan(trains_below=10.0)) == []
    assert set(read_runs(root)["outcome"]) == {"trains", "diverged"}


def test_layers_go_the_same_way(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        for stack in reversed(stacks_of(plan)):
            with folder.writer(stack) as writer:
                for event in events(stack):
                    writer.write(event)
                    if hasattr(event, "lr"):
                        writer.layers([[event.run_id, event.step, "hidden.0", "gradient_norm", 0.5]])
        folder.merge()
    lines = (root / "layers.csv").read_text().splitlines()
    assert lines[0] == "run_id,step,layer,quantity,value"
    assert lines[1] == f"{plan.runs[0].run_id},0,hidden.0,gradient_norm,0.5"
    assert len(lines) == (root / "metrics.csv").read_text().count("\n")
    run_all(root, plan)
    assert (root / "layers.csv").read_text().splitlines() == lines


def most_memory_of_layers(root, plan, layers):
    """Write and merge `layers` rows per run and step; return the peak memory and the size of layers.csv."""
    tracemalloc.start()
    try:
        with ResultsFolder(root) as folder:
            folder.open_for_run(plan, CONFIG)
            for stack in stacks_of(plan, size=30):
                with folder.writer(stack) as writer:
                    for event in events(stack):
                        writer.write(event)
                    for run, step in itertools.product(stack.runs, range(0, 40, 10)):
                        rows = ((f"hidden.{i}", "gradients.norm", step / 3) for i in range(layers))
                        writer.layers([[run.run_id, step, *row] for row in rows])
            folder.merge()
        return tracemalloc.get_traced_memory()[1], (root / "layers.csv").stat().st_size
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
def test_the_rows_of_layers_are_not_held_in_memory(tmp_path):
    plan = make_plan(seeds=20)
    few, small = most_memory_of_layers(tmp_path / "few", plan, 2)
    many, large = most_memory_of_layers(tmp_path / "many", plan, 80)
    assert large > small + 1_500_000
    assert many < few + 0.2 * (large - small)


class Snapshots:
    """Copies of the folder before each change of a file: what a SIGKILL at that moment leaves."""

    def __init__(self, monkeypatch, root, into):
        self.root, self.into, self.taken = root, into, []
        for owner, name in ((os, "replace"), (os, "truncate"), (os, "ftruncate"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self._before(getattr(owner, name)))
        write = os.write

        def torn_write(descriptor, data):
            half = write(descriptor, bytes(data)[: len(data) // 2])
            self.take()
            return half + write(descriptor, bytes(data)[half:])

        monkeypatch.setattr(os, "write", torn_write)

    def _before(self, function):
        def patched(*args, **kwargs):
            self.take()
            return function(*args, **kwargs)

        return patched

    def take(self):
        if self.root.exists():
            self.taken.append(self.into / f"{len(self.taken):04d}")
            shutil.copytree(self.root, self.taken[-1], copy_function=shutil.copyfile)


def test_killed_at_any_change_of_a_file_and_run_again(tmp_path, root, plan, expected):
    with pytest.MonkeyPatch.context() as patch:
        snapshots = Snapshots(patch, root, tmp_path / "killed")
        run_all(root, plan)
    assert len(snapshots.taken) > 50
    for snapshot in snapshots.taken:
        if (snapshot / "runs.csv").exists():
            read_metrics(snapshot), read_runs(snapshot)
        before = folder_status(snapshot).statuses["finished"] if (snapshot / "runs.csv").exists() else 0
        with ResultsFolder(snapshot) as folder:
            folder.open_for_run(plan, CONFIG)
            assert len(folder.finished_ids()) >= before
        run_all(snapshot, plan)
        assert merged(snapshot) == expected
        assert {path.name for path in snapshot.iterdir()} - {".lock"} == FILES


@pytest.mark.parametrize("failing", range(4))
def test_a_merge_that_fails_loses_nothing(root, plan, expected, monkeypatch, failing):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        for stack in stacks_of(plan):
            train(folder, stack)
        calls = []
        replace, unlink = os.replace, Path.unlink

        def count(function):
            def patched(*args, **kwargs):
                calls.append(args)
                if len(calls) > failing:
                    raise OSError(28, "No space left on device")
                return function(*args, **kwargs)

            return patched

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", count(replace))
            patch.setattr(Path, "unlink", count(unlink))
            with pytest.raises(RecordsError, match="no room is left on the disk"):
                folder.merge()
        assert folder.finished_ids() == {run.run_id for run in plan.runs}
        folder.merge()
    assert merged(root) == expected


def test_a_disk_that_fills_up_while_a_stack_writes(root, plan, expected, monkeypatch):
    write = os.write
    room = [700]

    def small_disk(descriptor, data):
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = write(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    folder = ResultsFolder(root)
    folder.open_for_run(plan, CONFIG)
    monkeypatch.setattr(os, "write", small_disk)
    with pytest.raises(RecordsError, match="no room"):
        train(folder, stacks_of(plan)[0])
    room[0] = 10**9
    folder.close()
    assert all(text.count(",") == 9 for text in (root / "metrics.csv").read_text().splitlines())
    run_all(root, plan)
    assert merged(root) == expected


def test_a_run_that_ended_interrupted_is_not_done(root, plan):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with folder.writer(stack) as writer:
            writer.write(evaluation(stack.runs[0], 10))
            for run in stack.runs:
                writer.write(end(run, "interrupted", 17, stack))
        folder.merge()
        assert folder.finished_ids() == set()
        assert len(folder.open_stacks()) == 1
    assert read_runs(root)["steps"].tolist()[:4] == [17] * 4
    assert read_runs(root)["outcome"].isna().all()


@pytest.mark.thorough
def test_ten_thousand_runs_are_merged(root):
    plan = make_plan(seeds=1000, rates=(0.1, 0.2, 0.3, 0.4, 0.5))
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        (root / "parts").mkdir()
        for order, stack in enumerate(stacks_of(plan, size=500)):
            ids = [run.run_id for run in stack.runs]
            Manifest(stack.stack_id, "x", order, tuple(ids)).write(root / "parts")
            rows = [f"{run_id},{step},1,0.1,0.7,0.6,,,0.5,0.4" for step in range(10) for run_id in ids]
            ends = [f"{run_id},finished,9,,1.0,2.3,7,1.0,s,x,0.5,10,,," for run_id in ids]
            for table, lines in ((METRICS, rows), (PART_RUNS, ends)):
                path = root / "parts" / f"{stack.stack_id}.{table.name}.csv"
                path.write_text("\n".join([",".join(table.names), *lines, ""]))
        folder.merge()
        assert len(folder.finished_ids()) == 10_000
    assert (root / "metrics.csv").read_bytes().count(b"\n") == 100_001
