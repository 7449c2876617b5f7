"""Pages that a second process draws: the same bytes, and none is lost if that process fails."""

import dataclasses
from contextlib import closing
from typing import Literal

import pytest

from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError
from normbench.plots import compute, plot_each, rendering
from normbench.plots.figures.rate import Rate
from normbench.plots.paper import Paper
from normbench.plots.rendering import Helper, Page, drawn, helping

NAMES = ["largest_rate", "steps_to_target"]
FORMATS = ["png", "svg"]


def pages_of(folder):
    return [Page(*found, Paper(), "", FORMATS) for found in compute(load_tables(folder), NAMES)]


@pytest.fixture(scope="module")
def files(small):
    """The files of each page, by its stem."""
    return {page.chart.stem: page.files() for page in pages_of(small)}


class Fake(Helper):
    """A helper without a process, which has drawn these pages before; others it refuses."""

    def __init__(self, made=()):
        self._process, self.works, self.made = None, True, dict(made)

    def files(self, page):
        return self.made.get(page.chart.stem)


def test_a_second_process_draws_the_same_bytes(small, files):
    class Own(Rate):  # has no name by which another process can import it
        name: Literal["own"] = "own"

    pages = pages_of(small)
    own = dataclasses.replace(pages[0], kind=Own())
    narrow = dataclasses.replace(pages[0], paper=Paper(width=1.0))
    with closing(Helper()) as helper:
        assert helper.files(pages[0]) == files[NAMES[0]]
        assert helper.files(own) is None
        assert "choose a larger --width" in helper.files(narrow)
        helper._process.kill()
        assert helper.files(pages[0]) is None
        assert not helper.works
        assert next(drawn(pages, helper)) == (pages[0], files[NAMES[0]])


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_pages_come_in_their_order_whoever_draws_them(small, files, taken):
    helper = Fake(list(files.items())[:taken])
    found = [(page.chart.stem, made) for page, made in drawn(iter(pages_of(small)), helper)]
    assert found == list(files.items())


def test_pages_before_an_error_are_drawn(small, files):
    def failing():
        yield from pages_of(small)
        raise NormbenchError("no more")

    pages = drawn(failing(), Fake(files))
    assert [next(pages)[0].chart.stem for _ in NAMES] == NAMES
    with pytest.raises(NormbenchError, match="no more"):
        next(pages)


def test_a_helper_can_be_asked_again_after_an_early_stop(small, files):
    helper = Fake(files)
    with closing(drawn(iter(pages_of(small)), helper)) as pages:
        next(pages)
    assert len(list(drawn(iter(pages_of(small)), helper))) == 2


def test_files_are_the_same_with_a_helper(small, files, tmp_path):
    made = list(plot_each(small, NAMES, out=tmp_path, helper=Fake(files)))
    assert [path.name for path in made] == [f"{name}.{end}" for name in NAMES for end in FORMATS]
    for path in made:
        assert path.read_bytes() == files[path.stem][path.suffix[1:]]


def test_a_helper_is_for_much_work_and_free_cores(small, monkeypatch):
    monkeypatch.setattr(rendering, "Helper", Fake)
    monkeypatch.setattr(rendering, "available_cores", lambda: 2)

    def helped(*figures):
        with helping([small], figures or None) as helper:
            return helper is not None

    assert not helped()
    monkeypatch.setattr(rendering, "LARGE", 1000)
    assert helped()
    assert helped("rate", "gap")
    assert not helped("rate")
    monkeypatch.setattr(rendering, "available_cores", lambda: 1)
    assert not helped()
