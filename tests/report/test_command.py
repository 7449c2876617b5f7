"""The command: where the page goes, what is refused, `--open`, `--watch`."""

from __future__ import annotations

import webbrowser
from itertools import pairwise

import pytest
from helpers.cli import call, good
from helpers.results import rate_runs, write

from normbench.report import watch
from normbench.report.watch import GRACE, LOOK, REST, changes


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "results" / "small", rate_runs({"model.norm": "none"}, 0, [0.1, 1], "TT"))


def test_the_page_goes_into_the_folder_or_where_it_is_wanted(folder, tmp_path):
    before = (folder / "runs.csv").read_bytes()
    assert good("report", folder).stdout.strip() == str(folder / "report.html")
    wanted = tmp_path / "new" / "page.html"
    result = good("report", folder.parent, "-o", wanted)
    assert result.stdout.strip() == str(wanted)
    assert result.stderr == ""
    assert wanted.read_bytes().startswith(b"<!doctype html>")
    assert (folder / "runs.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (".", "is a folder"),
        ("file/page.html", "cannot be written: "),
        ("file/deeper/page.html", "cannot be written: "),
        ("x" * 300 + ".html", "cannot be written: "),
    ],
)
def test_an_impossible_file_is_refused(folder, tmp_path, place, said):
    (tmp_path / "file").write_text("not a folder")
    result = call("report", folder, "-o", tmp_path / place)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_a_damaged_experiment_is_refused_alone_and_named_in_a_book(folder, tmp_path):
    broken = write(tmp_path / "results" / "broken", rate_runs({"model.norm": "none"}, 0, [0.1], "T"))
    (broken / "runs.csv").write_text("run_id,what\n1,2\n")
    alone = call("report", broken, "-o", tmp_path / "page.html")
    assert alone.exit_code == 2
    assert str(broken) in alone.stderr
    assert not (tmp_path / "page.html").exists()
    book = call("report", folder, broken, "-o", tmp_path / "page.html")
    assert book.exit_code == 2
    assert str(broken) in book.stderr
    assert "small" in (tmp_path / "page.html").read_text()


def test_no_folder_is_a_sentence(tmp_path):
    result = call("report", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "there is no such folder" in result.stderr


def test_open_shows_the_page_in_a_browser(folder, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) < 2)
    good("report", folder, "--open")
    assert opened == [(folder / "report.html").resolve().as_uri()]
    assert "no browser was found" in good("report", folder, "--open").stderr


class Sweep:
    """A clock and a sweep that trains: `events` say what happens at which second."""

    def __init__(self, monkeypatch, until, events):
        self.now, self.events = 0.0, dict(events)
        self.until = until
        monkeypatch.setattr(watch, "holder_of", lambda _: "process 1" if self.now < self.until else None)

    def sleep(self, seconds):
        self.now += seconds
        if event := self.events.pop(self.now, None):
            event()

    def clock(self):
        return self.now


def test_watching_writes_again_after_each_change_and_ends_with_the_sweep(folder, monkeypatch):
    runs = folder / "runs.csv"
    more = [lambda i=i: runs.write_text(runs.read_text() + f"{i}") for i in range(2)]
    sweep = Sweep(monkeypatch, 10, {4: more[0], 8: more[1]})
    seen = [sweep.now for _ in changes(lambda: [folder], sweep.sleep, sweep.clock)]
    assert seen == [0, 4, 8]
    assert 10 <= sweep.now <= 10 + GRACE


def test_watching_leaves_the_processor_to_the_training(folder, monkeypatch):
    runs = folder / "runs.csv"
    always = {2.0 * i: (lambda i=i: runs.write_text(f"{i}")) for i in range(60)}
    sweep = Sweep(monkeypatch, 100, always)
    seen = []
    for _ in changes(lambda: [folder], sweep.sleep, sweep.clock):
        seen.append(sweep.now)
        sweep.now += 2  # seconds that a page takes
    assert all(later - one >= 2 + 2 * REST for one, later in pairwise(seen))
    assert len(seen) >= 4


def test_watching_a_folder_that_nobody_trains_ends_at_once(folder, monkeypatch):
    sweep = Sweep(monkeypatch, 0, {})
    assert len(list(changes(lambda: [folder], sweep.sleep, sweep.clock))) == 1
    assert sweep.now < GRACE + LOOK


def test_a_watched_page_reloads_itself_until_the_end(folder, monkeypatch):
    pages = []

    def once(folders):
        yield folders()
        pages.append((folder / "report.html").read_text())

    monkeypatch.setattr(watch, "changes", once)
    result = good("report", folder, "--watch")
    assert "is written again while a sweep trains" in result.stderr
    assert 'data-live="5"' in pages[0]
    assert 'data-live="0"' in (folder / "report.html").read_text()


def test_ctrl_c_ends_the_watching_quietly(folder, monkeypatch):
    def interrupted(folders):
        yield folders()
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "changes", interrupted)
    result = good("report", folder, "--watch")
    assert "Traceback" not in result.output
    assert 'data-live="0"' in (folder / "report.html").read_text()
