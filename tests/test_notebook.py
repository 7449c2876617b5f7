"""The progress in a notebook: one line that is updated, sentences in lines of their own."""

from __future__ import annotations

import sys
import types

from normbench.launch.reporter import Reporter
from normbench.markup import MOST_ROWS, html_table
from normbench.notebook import NotebookReporter, reporter_here


class Screen:
    """Stands for IPython's `display`."""

    def __init__(self):
        self.lines = []

    def __call__(self, what, display_id=False):
        self.lines.append([repr(what)])
        own = self.lines[-1]
        return types.SimpleNamespace(update=lambda new: own.append(repr(new))) if display_id else None


def test_one_line_is_brought_up_to_date_and_sentences_stand_beside_it():
    screen, now = Screen(), [0.0]
    reporter = NotebookReporter(screen, lambda: now[0])
    reporter.start(1000, 10)
    reporter.stack("mlp, none: 10 runs")
    for _ in range(9):
        now[0] += 1
        reporter.advance(100)
    reporter.message("a sentence")
    now[0] += 0.1
    reporter.advance(100)
    reporter.finish()
    line, sentence = screen.lines
    assert line[0] == "0 % after 0 s; 10 runs"
    assert line[1] == "10 % after 1 s, about 9 s left; mlp, none: 10 runs"
    assert line[-1] == "100 % after 9 s; mlp, none: 10 runs"
    assert len(line) == 11  # the last but one step came too soon to be shown
    assert sentence == ["a sentence"]


def test_steps_of_an_earlier_session_do_not_count():
    screen = Screen()
    reporter = NotebookReporter(screen, lambda: 0.0)
    reporter.start(1000, 10)
    reporter.skip(500)
    reporter.advance(500)
    reporter.finish()
    assert screen.lines[0][-1].startswith("100 % after")


def test_a_kernel_alone_gets_the_line(monkeypatch):
    assert type(reporter_here()) is Reporter
    ipython, screen = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    screen.display = print
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", screen)
    ipython.get_ipython = lambda: types.SimpleNamespace()  # a terminal
    assert type(reporter_here()) is Reporter
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    assert type(reporter_here()) is NotebookReporter


def test_tables_are_escaped_and_bounded():
    html = html_table("a < b", ["<i>"], [["<b>\n&"], [None], [0.123456]], ["<u>"])
    assert "a &lt; b" in html
    assert "<th>&lt;i&gt;</th>" in html
    assert "<td>&lt;b&gt;<br>&amp;</td>" in html
    assert "<td></td>" in html
    assert "<td>0.1235</td>" in html
    assert "<p>&lt;u&gt;</p>" in html
    many = html_table("x", ["n"], [[n] for n in range(MOST_ROWS + 5)])
    assert many.count("<td>") == MOST_ROWS
    assert "and 5 more rows" in many
