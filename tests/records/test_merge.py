"""The merged files have the same bytes whatever happened before the merge."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tracemalloc
from dataclasses import replace
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

from normbench.engine.events import RunEnd
from normbench.errors import RecordsError
from normbench.planning.stacks import split_stack
from normbench.records import ResultsFolder, folder_status, read_metrics, read_runs
from normbench.records.parts import Manifest
from normbench.records.schema import INFERENCE, METRICS, PART_RUNS

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


def test_an_interrupted_stack_is_read_from_its_part_and_trained_again(root, plan, expected):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stack, upto=6)
        folder.merge()
    assert merged(root)["metrics.csv"].count(b"\n") == 1
    assert len(read_metrics(root)) == 6
    runs = read_runs(root)
    assert runs["status"].tolist()[:4] == ["interrupted"] * 4
    assert runs["steps"].tolist()[:4] == [10, 10, 0, 0]
    assert runs["executor"].tolist()[0] == "vectorized"
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        (opened,) = folder.open_stacks()
        assert opened.stack_id == stack.stack_id
        assert opened.runs == tuple(run.run_id for run in stack.runs)
        assert opened.executor == "vectorized"
    run_all(root, plan)
    assert merged(root) == expected


def test_a_diverged_run_of_an_interrupted_stack_is_safe(root, plan, expected):
    """It is merged at once, so it survives when its stack is trained again, with or without it."""
    stack = stacks_of(plan)[1]
    diverged = {run.run_id for run in stack.runs if run.values["optimizer.lr"] == 100}
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stack, upto=11)
        assert folder.finished_ids() == diverged
        with folder.writer(stack):  # starts from its beginning, in the same session
            assert folder.finished_ids() == diverged
        assert folder.open_stacks()[0].ended == diverged
    rows = [line for line in expected["metrics.csv"].splitlines() if line[:12].decode() in diverged]
    assert merged(root)["metrics.csv"].splitlines()[1:] == rows
    run_all(root, plan)
    assert merged(root) == expected


@pytest.mark.parametrize(("checkpoint", "killed"), [(4, 4), (4, 9), (9, 10), (11, 13), (0, 5)])
def test_going_on_from_a_checkpoint(root, plan, expected, checkpoint, killed):
    stack = stacks_of(plan)[1]
    recorded = list(events(stack))
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        writer = folder.writer(stack)
        for event in recorded[:checkpoint]:
            writer.write(event)
        lengths = writer.length()
        for event in recorded[checkpoint:killed]:
            writer.write(event)
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert folder.can_go_on(stack.stack_id, lengths)
        with folder.writer(stack, lengths=lengths) as writer:
            assert writer.length() == lengths
            for event in recorded[checkpoint:]:
                writer.write(event)
        folder.merge()
    run_all(root, plan)
    assert merged(root) == expected


def older(path):
    """Write the ends of a part as version 0.2 did, and return their length."""
    rows = [row.split(b",")[: -len(INFERENCE)] for row in path.read_bytes().splitlines()]
    path.write_bytes(b"".join(b",".join(row) + b"\n" for row in rows))
    return path.stat().st_size


@pytest.mark.parametrize("halved", [False, True])
def test_a_part_of_an_older_version_goes_on(root, plan, expected, halved):
    """Its file keeps its columns, or a new file takes its rows; what it lacks reads as empty."""
    stack = stacks_of(plan)[1]
    recorded = [replace(e, inference_train_loss=0.25) if isinstance(e, RunEnd) else e for e in events(stack)]
    first = next(place for place, event in enumerate(recorded) if isinstance(event, RunEnd)) + 1
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        writer = folder.writer(stack)
        for event in recorded[:first]:
            writer.write(event)
        lengths = writer.length()
    lengths["runs"] = older(root / "parts" / f"{stack.stack_id}.runs.csv")
    assert (read_runs(root)["status"] == "diverged").sum() == 1
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        if halved:
            writers = [folder.writer(half) for half in split_stack(stack)]
            for writer in writers:
                writer.take_over(stack.stack_id, lengths)
        else:
            writers = [folder.writer(stack, lengths=lengths)]
        for event in recorded[first:]:
            for writer in writers:
                if event.run_id in writer._trains_below:
                    writer.write(event)
        for writer in writers:
            writer.close()
        folder.merge()
    found = read_runs(root).set_index("run_id")["inference_train_loss"]
    late = [event.run_id for event in recorded[first:] if isinstance(event, RunEnd)]
    assert found[recorded[first - 1].run_id] != 0.25
    assert found[late].isna().all() != halved
    run_all(root, plan)
    assert merged(root)["metrics.csv"] == expected["metrics.csv"]


def test_a_checkpoint_of_a_part_that_was_cut_is_refused(root, plan):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with folder.writer(stack) as writer:
            for event in list(events(stack))[:8]:
                writer.write(event)
            lengths = writer.length()
        os.truncate(root / "parts" / f"{stack.stack_id}.metrics.csv", 150)
        assert not folder.can_go_on(stack.stack_id, lengths)
        with pytest.raises(RecordsError, match="has 150 bytes, the checkpoint expects"):
            folder.writer(stack, lengths=lengths)


def test_a_closed_writer_writes_nothing_more(root, plan):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with folder.writer(stack) as writer:
            writer.write(evaluation(stack.runs[0], 0))
        with pytest.raises(RecordsError, match="is closed"):
            writer.write(evaluation(stack.runs[0], 10))
    assert len(read_metrics(root)) == 1


def test_rows_that_a_halved_stack_measures_again_count_once(root, plan, expected):
    """When a run raises, the engine returns to its last good state and repeats rows: the later ones count."""
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        for stack in stacks_of(plan):
            recorded = list(events(stack))
            with folder.writer(stack) as writer:
                for event in [*recorded[:7], *recorded]:
                    writer.write(event)
        folder.merge()
    assert merged(root) == expected


def test_a_crashed_run_keeps_its_rows_and_traceback_until_it_is_trained(root, plan, expected):
    stack = stacks_of(plan)[0]
    first = stack.runs[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with folder.writer(stack) as writer:
            for event in events(stack):
                if event.run_id != first.run_id:
                    writer.write(event)
            writer.write(evaluation(first, 0))
            writer.write(end(first, "crashed", 7, stack, error="Traceback ...\nValueError: no\n"))
        folder.merge()
        assert folder.statuses()[first.run_id] == "crashed"
        assert first.run_id not in folder.finished_ids()
        assert folder.open_stacks() == []
    assert (root / "crashes" / f"{first.run_id}.txt").read_text().endswith("ValueError: no\n")
    assert read_runs(root)["status"][0] == "crashed"
    assert len(read_metrics(root).query("run_id == @first.run_id")) == 1
    run_all(root, plan)
    assert merged(root) == expected
    assert not (root / "crashes" / f"{first.run_id}.txt").exists()


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
