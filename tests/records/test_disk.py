"""Folders that cannot be written, and files where folders are needed."""

from __future__ import annotations

import os

import pytest
from helpers.records_folder import run_all

from normbench.errors import RecordsError
from normbench.records import (
    experiments_in,
    read_runs,
)


def test_a_file_in_place_of_the_folder(root, plan):
    root.parent.mkdir()
    root.write_text("mine")
    with pytest.raises(RecordsError, match="is a file where a folder is needed"):
        run_all(root, plan)
    with pytest.raises(RecordsError, match="is a file"):
        read_runs(root)
    with pytest.raises(RecordsError, match="is a file"):
        experiments_in(root)
    assert root.read_text() == "mine"


def test_a_file_in_place_of_the_parts(root, plan):
    root.mkdir(parents=True)
    (root / "parts").write_text("mine")
    with pytest.raises(RecordsError, match="is a file where a folder is needed"):
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
