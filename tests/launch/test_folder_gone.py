"""A results folder that is moved, removed or replaced while it is trained: another's files are left alone."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from helpers.launch import train
from helpers.records_folder import CONFIG, make_plan, stacks_of, tree
from helpers.records_folder import train as write

from normbench.errors import NormbenchError, RecordsError
from normbench.records import ResultsFolder, holder_of

LONG = """
name: tiny
seeds: 2
data: {name: digits, train_size: 100, test_size: 20, batch_size: 20}
model: {name: mlp, depth: 1, width: 4}
train: {steps: 200, eval_every: 50}
sweep: {optimizer.lr: [0.01, 0.1]}
"""
SHORT = LONG.replace("steps: 200", "steps: 60")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder with open files in its place")


def moved(folder):
    folder.rename(folder.with_name("moved"))


def removed(folder):
    shutil.rmtree(folder)


def emptied(folder):
    for path in list(folder.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def replaced_by_a_link(folder):
    folder.rename(folder.with_name("moved"))
    folder.with_name("elsewhere").mkdir()
    folder.symlink_to(folder.with_name("elsewhere"))


def replaced_by_a_copy(folder):
    folder.rename(folder.with_name("moved"))
    shutil.copytree(folder.with_name("moved"), folder)
    (folder / "run.lock").unlink()


WAYS = [moved, removed, emptied, replaced_by_a_link, replaced_by_a_copy]


def meanwhile(action, after=3):
    """Return a `should_stop` that never stops and does something once, while a stack trains."""
    asked = iter(range(after))
    return lambda: next(asked, None) == after - 1 and action() and False


@pytest.mark.parametrize("way", WAYS)
def test_the_runs_that_another_session_finished_there_stay(tmp_path, way):
    folder = tmp_path / "tiny"
    found = {}

    def swap():
        way(folder)
        other = train(tmp_path, SHORT)
        assert other.trained == 4
        found.update(tree(folder))

    with pytest.raises(NormbenchError, match="tiny: was moved, removed or replaced") as error:
        train(tmp_path, LONG, should_stop=meanwhile(swap), checkpoint_every=0)
    assert "move it back" in str(error.value)
    assert found
    assert tree(folder) == found
    again = train(tmp_path, SHORT)
    assert (again.trained, again.skipped) == (0, 4)


def test_what_was_trained_in_a_folder_that_was_moved_goes_on_there(tmp_path):
    train(tmp_path, LONG.replace("name: tiny", "name: whole", 1))
    swap = meanwhile(lambda: moved(tmp_path / "tiny"))
    with pytest.raises(NormbenchError, match="was moved"):
        train(tmp_path, LONG, should_stop=swap, checkpoint_every=0)
    assert not (tmp_path / "tiny").exists()
    done = train(tmp_path, LONG.replace("name: tiny", "name: moved", 1))
    assert done.trained == 4
    records = (tmp_path / "moved" / "metrics.csv").read_bytes()
    assert records == (tmp_path / "whole" / "metrics.csv").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_the_lock_of_another_session_stays(tmp_path, way):
    root = tmp_path / "x"
    plan = make_plan()
    mine, other = ResultsFolder(root), ResultsFolder(root)
    mine.open_for_run(plan, CONFIG)
    way(root)
    other.open_for_run(plan, CONFIG)
    with other.writer(stacks_of(plan)[0]):
        before = tree(root)
        with pytest.raises(RecordsError, match="was moved, removed or replaced"):
            mine.merge()
        with pytest.raises(RecordsError, match="was moved, removed or replaced"):
            write(mine, stacks_of(plan)[0])
        with pytest.raises(RecordsError, match="was moved, removed or replaced"):
            mine.drop(stacks_of(plan)[0].stack_id)
        mine.close()
        assert tree(root) == before
        assert holder_of(root)
        with pytest.raises(RecordsError, match="already writes"):
            ResultsFolder(root).open_for_run(plan, CONFIG)
    other.close()
    assert holder_of(root) is None


def test_a_folder_that_is_moved_away_and_back_is_held_all_the_time(tmp_path):
    def there_and_back():
        moved(tmp_path / "tiny")
        (tmp_path / "moved").rename(tmp_path / "tiny")

    done = train(tmp_path, LONG, should_stop=meanwhile(there_and_back), checkpoint_every=0)
    assert (done.trained, done.interrupted) == (4, False)


def test_a_folder_that_is_left_by_a_link_at_its_place_is_still_held(tmp_path):
    def link():
        moved(tmp_path / "tiny")
        (tmp_path / "tiny").symlink_to(tmp_path / "moved")

    done = train(tmp_path, LONG, should_stop=meanwhile(link), checkpoint_every=0)
    assert (done.trained, done.interrupted) == (4, False)


def test_the_lock_file_alone_replaced_ends_the_training(tmp_path):
    def replace():
        lock = tmp_path / "tiny" / ".lock"
        lock.unlink()
        lock.write_bytes(b"")

    with pytest.raises(NormbenchError, match=r"or its \.lock was"):
        train(tmp_path, LONG, should_stop=meanwhile(replace), checkpoint_every=0)
    holder = json.loads((tmp_path / "tiny" / "run.lock").read_text())
    assert holder["pid"] == os.getpid()  # left alone: it could be another's
    assert train(tmp_path, LONG).trained == 4
