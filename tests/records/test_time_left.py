"""The expected time of a run without a result follows from the ended runs nearest to it."""

from __future__ import annotations

import json

import pytest
from helpers.records_folder import CONFIG, run_all, stacks_of, train

from normbench.records import ResultsFolder, folder_status
from normbench.records.time_left import seconds_left

SWEPT = ["model.norm", "optimizer.lr"]


def row(norm, lr, status, seconds="", steps=""):
    return {
        "model.norm": norm, "optimizer.lr": lr, "status": status, "train_seconds": seconds, "steps": steps
    }  # fmt: skip


ENDED = [
    row("none", "1", "finished", "10.0", "100"),
    row("none", "1", "finished", "14.0", "100"),
    row("none", "100", "diverged", "0.5", "3"),
    row("batchnorm", "1", "finished", "30.0", "100"),
]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([], 0.0),
        ([row("none", "1", "crashed")], 0.0),
        ([row("none", "1", "pending")], 12.0),  # other seeds of the cell
        ([row("none", "100", "pending")], 0.5),  # it diverges again
        ([row("batchnorm", "100", "pending")], 30.0),  # the variant at other rates
        ([row("layernorm", "1", "pending")], 13.625),  # all ended runs
        ([row("none", "1", "interrupted", steps="75")], 3.0),
        ([row("none", "1", "interrupted", steps="100")], 12.0),  # more than the ended ones made: unknown
        ([row("none", "1", "pending"), row("batchnorm", "1", "pending")], 42.0),
    ],
)
def test_a_run_takes_what_its_nearest_took(left, expected):
    assert seconds_left([*ENDED, *left], SWEPT) == pytest.approx(expected)
    assert seconds_left([*ENDED, *left], SWEPT, workers=2) == pytest.approx(expected / 2)


def test_without_an_ended_run_it_is_unknown():
    assert seconds_left([row("none", "1", "pending")], SWEPT) is None
    assert seconds_left([row("none", "1", "crashed"), row("none", "1", "pending")], SWEPT) is None


def test_the_status_of_a_folder_tells_it_also_while_it_is_written(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert folder_status(root).seconds_left is None
        folder.start_session("cpu", 1, ["normbench"], workers=2)
        train(folder, stacks_of(plan)[0])  # its four runs took 0.5 s each
        train(folder, stacks_of(plan)[1], upto=6)
        status = folder_status(root)
        assert status.holder
        assert 0.5 < status.seconds_left < 0.5 * 8 / 2
    assert json.loads((root / "environment.json").read_text())["workers"] == 2
    run_all(root, plan)
    assert folder_status(root).seconds_left == 0
