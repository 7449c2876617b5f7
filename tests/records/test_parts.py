"""What an interrupted, halved or crashed stack leaves, and how it goes on."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from helpers.records_folder import (
    CONFIG,
    end,
    evaluation,
    events,
    merged,
    run_all,
    stacks_of,
    train,
)

from normbench.engine.events import RunEnd
from normbench.errors import RecordsError
from normbench.planning.stacks import split_stack
from normbench.records import ResultsFolder, read_metrics, read_runs
from normbench.records.parts import FOLDER, read_manifest
from normbench.records.schema import INFERENCE


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


def test_a_stack_goes_on_without_a_merge_unless_ends_would_be_lost(root, plan, monkeypatch):
    """A merge visits every run of the folder, so a lost node must not cause one for nothing."""
    stack = stacks_of(plan)[1]
    merges = []
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        monkeypatch.setattr(folder, "_merge", lambda *_: merges.append(1))
        lengths = []
        with folder.writer(stack) as writer:
            for event in events(stack):
                lengths.append(writer.length())
                writer.write(event)
                if isinstance(event, RunEnd):
                    break
            lengths.append(writer.length())
        with folder.writer(stack, lengths=lengths[-1]):
            assert not merges
        with folder.writer(stack, lengths=lengths[-2]):
            assert len(merges) == 1
        with folder.writer(stack, lengths=lengths[-2]):
            assert len(merges) == 1, "the end is gone by now"
        with folder.writer(stack):
            assert len(merges) == 1


def test_a_stack_that_begins_is_newer_than_all_that_began_before(root, plan):
    stacks = stacks_of(plan)
    orders = []
    for _ in range(2):
        with ResultsFolder(root) as folder:
            folder.open_for_run(plan, CONFIG)
            for stack in stacks[:2]:
                folder.writer(stack).close()
                orders.append(read_manifest(root / FOLDER, stack.stack_id).order)
    assert orders == sorted(set(orders)), orders


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
