"""A wall clock that jumps changes no record: it only dates the sessions, and file times are not read."""

import itertools
import os

import pytest
from helpers.launch import after, records, train

from normbench.launch.checkpoints import Schedule
from normbench.records import folder_status


@pytest.mark.parametrize("years", [-30, pytest.param(30, marks=pytest.mark.thorough)])
def test_a_sweep_goes_on_across_a_jump_of_the_wall_clock(tmp_path, monkeypatch, years):
    train(tmp_path / "whole")
    jumps = itertools.count()
    monkeypatch.setattr(
        "normbench.records.environment.now", lambda: f"{2026 + years * (next(jumps) % 2)}-01-01T00:00:00Z"
    )
    stopped = 0
    while train(tmp_path / "stopped", should_stop=after(6)).interrupted:
        stopped += 1
        moment = (2026 + years * (stopped % 2) - 1970) * 365.0 * 86400
        for path in (tmp_path / "stopped").rglob("*"):
            os.utime(path, (max(0.0, moment),) * 2)
        assert folder_status(tmp_path / "stopped" / "tiny").seconds_left is not None or stopped == 1
    assert stopped >= 2
    assert records(tmp_path / "stopped") == records(tmp_path / "whole")


def test_a_machine_that_slept_for_a_day_writes_one_checkpoint_and_goes_on_as_before():
    now = [0.0]
    schedule = Schedule(None, clock=lambda: now[0])
    now[0] += 86_400
    assert schedule.due()
    with schedule.saving():
        now[0] += 0.1
    assert not schedule.due()
    now[0] += 61
    assert schedule.due()
