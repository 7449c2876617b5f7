"""Runs that the config no longer has: refused with the difference, or kept aside."""

from __future__ import annotations

import pytest
from helpers.records_folder import CONFIG, make_plan, merged, run_all, stacks_of, train, tree

from normbench.errors import RecordsError
from normbench.records import (
    ResultsFolder,
    read_runs,
)


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
    """A killed session leaves a diverged run in a part, which is a result, too."""
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
        assert "keeps 2 runs that the config no longer has" in folder.warnings[0]
    assert (root / "old/1/metrics.csv").read_text().count("\n") == 5
