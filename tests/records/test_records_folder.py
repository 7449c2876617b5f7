"""A results folder's door: who may write it, what is refused, what heals, and what is told."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_folder import CONFIG, Plan, Run, events, make_plan, merged, run_all, stacks_of, train

from normbench.errors import NormbenchError, RecordsError
from normbench.records import (
    ResultsFolder,
    experiments_in,
    folder_status,
    format_cell,
    format_float,
    holder_of,
    read_metrics,
    read_runs,
    write_csv,
)
from normbench.records.environment import command_line, read_sessions
from normbench.records.schema import cells_of, line, text_value


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Orphans ---------------------------------------------------------------------------------------------------


def test_orphans_are_refused_with_the_difference_and_nothing_is_written(root, plan):
    run_all(root, plan)
    before = tree(root)
    fewer = make_plan(seeds=1, rates=(0.1, 1.0))
    with pytest.raises(RecordsError) as error:
        run_all(root, fewer, config=CONFIG.replace("30", "50").replace("name: x", "name: y"))
    text = str(error.value)
    assert "8 of its 12 finished runs are not in this config" in text
    assert "train.steps: 30 in its config.yaml, 50 now" in text
    assert "seed: 1 in its runs.csv, not in this config" in text
    assert "optimizer.lr: 100.0 in its runs.csv, not in this config" in text
    assert "--keep-old" in text
    assert "another `name:`" in text
    assert "name: x" not in text.replace("`name:`", "")
    assert tree(root) == before


def test_keep_old_moves_orphans_aside_and_keeps_the_others(root, plan, expected):
    run_all(root, plan)
    fewer = make_plan(seeds=1)
    assert run_all(root, fewer, keep_old=True) == []
    kept, gone = merged(root)["runs.csv"], (root / "old" / "1" / "runs.csv").read_bytes()
    header, *lines = expected["runs.csv"].splitlines()
    assert kept.splitlines() == [header, *(row for row in lines if b"0000," in row[:13])]
    assert gone.splitlines() == [header, *(row for row in lines if b"0001," in row[:13])]
    rows = expected["metrics.csv"].splitlines()[1:]
    both = (
        merged(root)["metrics.csv"].splitlines()[1:],
        (root / "old/1/metrics.csv").read_bytes().splitlines()[1:],
    )
    assert sorted(both[0] + both[1]) == sorted(rows)
    assert (root / "old" / "1" / "config.yaml").read_text() == CONFIG


def test_orphans_in_a_part_are_seen_and_can_be_kept(root, plan):
    """A killed session leaves a diverged run in a part: it is a result as well."""
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stacks_of(plan)[1], upto=11)
    fewer = make_plan(rates=(0.1,))
    with pytest.raises(RecordsError, match="2 of its 2 finished runs"):
        run_all(root, fewer)
    run_all(root, fewer, keep_old=True)
    assert (root / "old/1/runs.csv").read_text().count("diverged,diverged") == 2
    assert read_runs(root)["status"].tolist() == ["finished"] * 4
    run_all(root, fewer)
    assert sorted(path.name for path in (root / "old").iterdir()) == ["1"]
    assert not (root / "parts").exists()


def test_runs_without_a_result_are_no_reason_to_refuse(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stacks_of(plan)[0], upto=6)
    with ResultsFolder(root) as folder:
        folder.open_for_run(make_plan(rates=(1.0,)), CONFIG)
        assert "kept in" in folder.warnings[0]
    assert (root / "old/1/metrics.csv").read_text().count("\n") == 5


# The lock --------------------------------------------------------------------------------------------------

HOLD = """
    import sys
    from normbench.records.lock import FolderLock
    from pathlib import Path
    lock = FolderLock(Path(sys.argv[1]))
    lock.acquire()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(root):
    root.mkdir(parents=True)
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_with_who_holds_it(root, plan, other_process):
    with pytest.raises(
        RecordsError, match=f"another process writes this folder .process {other_process.pid} on"
    ):
        run_all(root, plan)
    assert [path.name for path in root.iterdir()] == ["run.lock"]
    assert f"process {other_process.pid}" in holder_of(root)


def test_the_lock_of_a_killed_process_is_taken_over(root, plan, other_process):
    other_process.kill()  # and not waited for: it is a zombie, its number still in use
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    assert (root / "run.lock").exists()
    assert holder_of(root) is None
    assert run_all(root, plan)
    assert not (root / "run.lock").exists()


def test_the_number_of_a_dead_holder_may_belong_to_another_process(root, plan):
    root.mkdir(parents=True)
    holder = {"pid": os.getppid(), "host": socket.gethostname(), "start": "2020-01-01T00:00:00Z", "ticks": 1}
    (root / "run.lock").write_text(json.dumps(holder))
    assert run_all(root, plan)


def test_a_lock_from_another_machine_is_respected(root, plan):
    root.mkdir(parents=True)
    holder = {"pid": 1, "host": "elsewhere", "start": "2020-01-01T00:00:00Z", "ticks": 1}
    (root / "run.lock").write_text(json.dumps(holder))
    with pytest.raises(RecordsError, match=r"locked from another machine .*delete .*run\.lock"):
        run_all(root, plan)


def test_one_process_does_not_open_a_folder_twice(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with pytest.raises(RecordsError, match="this process already writes"):
            ResultsFolder(root).open_for_run(plan, CONFIG)
        assert holder_of(root)
    assert holder_of(root) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b'{"pid": -5, "host": "x", "start": ""}'])
def test_a_torn_lock_holds_nobody(root, plan, text):
    root.mkdir(parents=True)
    (root / "run.lock").write_bytes(text)
    assert run_all(root, plan)


# Damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 50, 95, 96, 300, 1500, -1, -20])
@pytest.mark.parametrize("name", ["metrics.csv", "runs.csv"])
def test_a_merged_file_that_was_cut_heals(root, plan, expected, name, cut):
    run_all(root, plan)
    whole = expected[name]
    (root / name).write_bytes(whole[:cut] if cut >= 0 else whole[: len(whole) + cut])
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        missing = {run.run_id for run in plan.runs} - folder.finished_ids()
        assert missing
        if name == "metrics.csv":
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
    """After a power failure the files of a stack may be on disk to different lengths."""
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


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(
        ["metrics.csv", "runs.csv", "parts/00000000.runs.csv", "parts/00000000.json", "run.lock"]
    ),
    at=st.integers(0, 3000),
    data=st.binary(max_size=40) | st.text('0123456789,"-\n\re.nai', max_size=40).map(str.encode),
    drop=st.integers(0, 40),
)
def test_any_bytes_give_a_result_or_a_sentence(tmp_path_factory, name, at, data, drop):
    plan = make_plan(seeds=1)
    root = tmp_path_factory.mktemp("any") / "x"
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stacks_of(plan)[1])
        folder.merge()
        train(folder, stacks_of(plan)[0], upto=9)
    path = root / name
    old = path.read_bytes() if path.exists() else b""
    at = min(at, len(old))
    path.write_bytes(old[:at] + data + old[at + drop :])
    sentences = []
    for act in (read_runs, read_metrics, folder_status, lambda root: run_all(root, plan)):
        try:
            act(root)
        except NormbenchError as error:
            sentences.append(str(error))
    assert all(str(root) in sentence for sentence in sentences)


# The disk --------------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_folder(root, plan):
    root.parent.mkdir()
    root.write_text("mine")
    with pytest.raises(RecordsError, match="a file stands where a folder is needed"):
        run_all(root, plan)
    with pytest.raises(RecordsError, match="is a file"):
        read_runs(root)
    with pytest.raises(RecordsError, match="is a file"):
        experiments_in(root)
    assert root.read_text() == "mine"


def test_a_file_in_place_of_the_parts(root, plan):
    root.mkdir(parents=True)
    (root / "parts").write_text("mine")
    with pytest.raises(RecordsError, match="a file stands where a folder is needed"):
        run_all(root, plan)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(root, plan):
    root.mkdir(parents=True)
    root.chmod(0o500)
    with pytest.raises(RecordsError, match="give yourself the permission"):
        run_all(root, plan)


def test_a_folder_that_may_not_be_written(root, plan, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RecordsError, match="give yourself the permission"):
        run_all(root, plan)


def test_results_is_one_folder_or_a_folder_of_them(root, plan):
    run_all(root, plan)
    run_all(root.parent / "a", plan)
    (root.parent / "other").mkdir()
    assert experiments_in(root) == [root]
    assert experiments_in(root.parent) == [root.parent / "a", root]
    with pytest.raises(RecordsError, match="neither it nor a folder in it holds records"):
        experiments_in(root.parent / "other")
    with pytest.raises(RecordsError, match="no such folder"):
        experiments_in(root.parent / "none")


# The text of cells -----------------------------------------------------------------------------------------


@given(st.floats(width=32))
def test_float32_comes_back_from_its_shortest_text(value):
    text = format_float(value, "float32")
    assert np.float32(float(text)) == np.float32(value) or math.isnan(value)
    assert len(text) <= 15


@given(st.floats())
def test_float64_comes_back_from_its_text(value):
    assert float(format_float(value)) == value or math.isnan(value)


def test_floats_are_short():
    assert format_float(float(np.float32(0.1)), "float32") == "0.1"
    assert format_float(float(np.float32(1e-5)), "float32") == "1e-05"
    assert format_float(math.inf, "float32") == "inf"
    assert format_float(math.nan) == "nan"
    assert format_float(None) == ""
    assert format_float(1e300, "float32") == "1e+300"


@given(st.text(max_size=20))
def test_no_text_becomes_a_formula_and_all_come_back(text):
    cell = format_cell(text)
    assert cell[:1] not in tuple("=+-@\t\r")
    assert cells_of(line(["x", cell])) == ["x", cell]
    if not set(text) & set("\r\n\0"):
        assert text_value(cell) == text


def test_swept_values_come_back_with_their_types(root):
    values = [
        {"a": "=1+2", "b": 1, "c": True, "d": 0.5, "e": "none", "f,g": 'x,"y"'},
        {"a": "-5", "b": 2, "c": False, "d": None, "e": "nan", "f,g": None},
    ]
    first = make_plan().runs[0]
    runs = tuple(Run(f"{i:012x}", i, first.settings, value) for i, value in enumerate(values))
    plan = Plan(runs, columns=tuple(values[0]))
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
    frame = read_runs(root)
    assert frame["a"].tolist() == ["=1+2", "-5"]
    assert frame["b"].dtype == "int64"
    assert frame["c"].tolist() == [True, False]
    assert frame["d"][0] == 0.5
    assert math.isnan(frame["d"][1])
    assert frame["e"].tolist() == ["none", "nan"]
    assert frame["f,g"].tolist() == ['x,"y"', None]
    assert set(frame["status"]) == {"pending"}
    assert "'=1+2" in (root / "runs.csv").read_text()


def test_write_csv_is_safe_for_spreadsheets(tmp_path):
    write_csv(tmp_path / "claims.csv", ["id", "estimate"], [["@evil", -1.5], ["two\nlines, one", None]])
    assert (tmp_path / "claims.csv").read_text() == 'id,estimate\n\'@evil,-1.5\n"two lines, one",\n'


# The environment -------------------------------------------------------------------------------------------


def test_environment_keeps_the_first_start_and_every_session(root, plan, monkeypatch):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        monkeypatch.setattr("normbench.records.environment.now", lambda: "2025-01-01T00:00:00Z")
        folder.start_session("cpu", 2, ["/usr/bin/normbench", "run", "a.yaml"])
        folder.end_session({"looped", "vectorised"})
        monkeypatch.setattr("normbench.records.environment.now", lambda: "2025-01-02T00:00:00Z")
        folder.start_session("cpu", 1, ["normbench", "run", "a.yaml"])
        folder.end_session(["looped"])
    data = json.loads((root / "environment.json").read_text())
    assert (data["start"], data["end"]) == ("2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z")
    assert [session["threads"] for session in data["sessions"]] == [2, 1]
    assert data["sessions"][0]["executors"] == ["looped", "vectorised"]
    assert {"python", "torch", "numpy", "normbench"} <= set(data["versions"])
    assert data["command"] == "normbench run a.yaml"
    assert socket.gethostname() not in (root / "environment.json").read_text()


def test_no_git_and_a_damaged_environment_are_no_failure(root, plan, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    run_all(root, plan)
    (root / "environment.json").write_text("{")
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        folder.start_session("cpu", None)
    assert read_sessions(root)[0]["git"] is None


def test_the_command_names_no_folder_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["/opt/x/normbench", "run", str(tmp_path / "a b.yaml"), "--data-dir=/data/mnist", "--set", "x=/y"]
    assert command_line(words) == "normbench run 'a b.yaml' --data-dir=.../mnist --set x=/y"


def test_reading_needs_no_torch(root, plan):
    run_all(root, plan)
    code = (
        "import sys; from normbench.records import folder_status, ResultsFolder; "
        f"folder_status({str(root)!r}); assert not {{'torch', 'pandas', 'scipy'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_status_counts_all(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stacks_of(plan)[0])
        train(folder, stacks_of(plan)[1], upto=6)
        status = folder_status(root)
        assert status.holder
    assert status.statuses == {"finished": 4, "diverged": 0, "crashed": 0, "interrupted": 4, "pending": 4}
    assert sum(status.outcomes.values()) == 4
    assert status.name == "x"
    assert len(list(events(stacks_of(plan)[0]))) == 20
