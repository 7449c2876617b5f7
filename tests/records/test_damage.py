"""Files that were truncated, lost or overwritten: what is repaired, and what the user is told."""

from __future__ import annotations

import os

import pytest
from helpers.records_folder import CONFIG, merged, run_all, stacks_of, train, tree

from normbench.errors import RecordsError
from normbench.records import (
    ResultsFolder,
    folder_status,
    read_metrics,
)


@pytest.mark.parametrize("cut", [0, 50, 95, 96, 300, 1500, -1, -20])
@pytest.mark.parametrize("name", ["metrics.csv", "runs.csv"])
def test_a_merged_file_that_was_cut_heals(root, plan, expected, name, cut):
    run_all(root, plan)
    whole = expected[name]
    (root / name).write_bytes(whole[:cut] if cut >= 0 else whole[: len(whole) + cut])
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        missing = {run.run_id for run in plan.runs} - folder.finished_ids()
        assert bool(missing) == (cut != -1)  # of the last line, only the line end is missing
        if name == "metrics.csv" and missing:
            assert any("trained again" in text for text in folder.warnings)
    run_all(root, plan)
    assert merged(root)["metrics.csv"] == expected["metrics.csv"]
    assert merged(root)["runs.csv"].count(b"\n") == expected["runs.csv"].count(b"\n")


@pytest.mark.parametrize("name", ["metrics.csv", "runs.csv", "config.yaml"])
def test_a_file_that_is_gone_comes_back(root, plan, expected, name):
    run_all(root, plan)
    (root / name).unlink()
    run_all(root, plan)
    assert merged(root) == expected
    assert (root / "config.yaml").read_text() == CONFIG


def test_the_readers_say_that_a_line_was_torn(root, plan, expected):
    run_all(root, plan)
    (root / "metrics.csv").write_bytes(expected["metrics.csv"][:-5])
    frame = read_metrics(root)
    assert (
        len(frame) == expected["metrics.csv"].count(b"\n") - 1 - 2
    )  # the damaged run is to be trained again
    assert "the last line is torn" in frame.attrs["warnings"][0]
    assert folder_status(root).statuses["pending"] == 1


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_part_is_read_as_far_as_it_is_whole(root, plan, cut):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stack, upto=8)
    path = root / "parts" / f"{stack.stack_id}.metrics.csv"
    os.truncate(path, path.stat().st_size - cut)
    assert len(read_metrics(root)) == path.read_bytes().count(b"\n") - 1


def test_an_end_whose_rows_are_lost_is_no_result(root, plan, expected):
    """After a power failure, the files of a stack may have lost rows to different extents."""
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stack)
        path = root / "parts" / f"{stack.stack_id}.metrics.csv"
        os.truncate(path, path.stat().st_size - 10)
        assert folder.finished_ids() == {run.run_id for run in stack.runs[:-1]}
    run_all(root, plan)
    assert merged(root) == expected


def test_a_lost_manifest_loses_no_result(root, plan, expected):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stack)
    (root / "parts" / f"{stack.stack_id}.json").unlink()
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert folder.finished_ids() == {run.run_id for run in stack.runs}
    run_all(root, plan)
    assert merged(root) == expected


@pytest.mark.parametrize(
    ("name", "what", "where"),
    [
        (
            "metrics.csv",
            b"000000010000,x,1,1,1,1,1,1,1,1\n",
            "metrics.csv:5: step: 'x' is not a whole number",
        ),
        ("metrics.csv", b"000000010000,1,1\n", "metrics.csv:5: 3 cells, where the header has 10"),
        (
            "metrics.csv",
            b"../../etc,1,1,1,1,1,1,1,1,1\n",
            "metrics.csv:5: run_id: '../../etc' is not a run id",
        ),
        ("metrics.csv", b"\x00\xff\n", "metrics.csv:5"),
        ("runs.csv", b"\xff\xfe,,\n", "runs.csv:5: not a line of CSV in UTF-8"),
        ("runs.csv", b"a,b\n", "runs.csv:5: 2 cells"),
    ],
)
def test_garbage_is_an_error_that_names_file_and_line(root, plan, name, what, where):
    run_all(root, plan)
    lines = (root / name).read_bytes().splitlines(keepends=True)
    (root / name).write_bytes(b"".join([*lines[:4], what, *lines[4:]]))
    before = tree(root)
    with pytest.raises(RecordsError) as error:
        read_metrics(root)
    assert where in str(error.value)
    with pytest.raises(RecordsError):
        run_all(root, plan)
    assert tree(root) == before


def test_a_file_with_windows_line_ends_and_a_mark_is_read(root, plan, expected):
    run_all(root, plan)
    for name in expected:
        (root / name).write_bytes(b"\xef\xbb\xbf" + expected[name].replace(b"\n", b"\r\n"))
    assert len(read_metrics(root)) == expected["metrics.csv"].count(b"\n") - 1
    assert run_all(root, plan) == []
    assert merged(root) == expected
