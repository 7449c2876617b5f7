"""What people see while a sweep trains."""

import io
import itertools

import pytest

from normbench.cli.output import duration
from normbench.cli.progress import BarReporter, LineReporter, reporter_for, times_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (1500, "25 min"),
        (3900, "1 h 05 min"),
        (-1, "0 s"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_lines_come_now_and_then_with_percent_and_time_left():
    now = 0.0
    stream = io.StringIO()
    reporter = LineReporter(stream, clock=lambda: now)
    reporter.start(3600, 10)
    reporter.stack("mlp, batchnorm: 10 runs")
    times = []
    for second in range(3600):  # an hour, a step of a run each second
        now = float(second + 1)
        before = stream.tell()
        reporter.advance(1)
        if stream.tell() != before:
            times.append(now)
    reporter.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training 10 runs, 3,600 steps in all"
    assert lines[1] == "0 % after 10 s; mlp, batchnorm: 10 runs"  # too early for the time left
    assert lines[8] == "7 % after 3 min 58 s, about 56 min left; mlp, batchnorm: 10 runs"
    assert not any("left" in line for line in lines[:8])
    assert lines[-1] == "100 % of the training in 1 h 00 min"
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == 10
    assert pauses == sorted(pauses)
    assert pauses[0] < 20
    assert pauses[-1] == 60


def test_nothing_to_train_says_nothing():
    stream = io.StringIO()
    reporter = LineReporter(stream)
    reporter.message("healed")
    reporter.finish()
    assert stream.getvalue() == "healed\n"


def test_the_bar_comes_only_in_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(reporter_for(Terminal()), BarReporter)
    assert isinstance(reporter_for(io.StringIO()), LineReporter)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(reporter_for(Terminal()), LineReporter)


def test_the_bar_ends_where_the_training_ended():
    stream = io.StringIO()
    reporter = BarReporter(stream)
    reporter.message("before it starts")
    reporter.start(100, 4)
    reporter.stack("mlp [4 runs]")  # brackets are text, not markup
    for _ in range(100):
        reporter.advance(1)
    reporter.message("a sentence")
    reporter.finish()
    reporter.finish()
    text = stream.getvalue()
    assert "100 %" in text
    assert "mlp [4 runs]" in text
    assert "a sentence" in text


def test_steps_of_an_earlier_session_are_not_expected_again():
    now = 0.0
    stream = io.StringIO()
    reporter = LineReporter(stream, clock=lambda: now)
    reporter.start(1000, 10)
    reporter.skip(800)
    now = 10.0
    reporter.advance(50)
    assert stream.getvalue().splitlines()[-1] == "25 % after 10 s, about 30 s left"
    bar = BarReporter(io.StringIO())
    bar.start(1000, 10)
    bar.skip(800)
    assert bar.bar is not None
    assert bar.bar.tasks[0].total == 200
    bar.finish()


@pytest.mark.parametrize(
    ("spent", "left", "text"),
    [(12, 40, "12 s, about 40 s left"), (12, None, "12 s"), (200, 0, "3 min 20 s")],
)
def test_time_spent_and_time_left_cannot_be_mistaken(spent, left, text):
    assert times_text(spent, left) == text


def test_the_bar_says_which_time_is_left():
    stream = io.StringIO()
    bar = BarReporter(stream)
    bar.start(1000, 10)
    assert bar.bar is not None
    bar.bar.tasks[0].start_time -= 12
    bar.bar.advance(bar.task, 250)
    bar.bar.stop()
    assert "12 s" in stream.getvalue()
    assert "0:00:12" not in stream.getvalue()


def checked(reporter, seconds):
    """Check nets that take these seconds, one after another; return what the stream holds after each."""
    now, texts = [0.0], []
    reporter.check.clock = lambda: now[0]
    for done in range(5):
        reporter.checking(done, 4)
        texts.append(reporter.stream.getvalue())
        now[0] += seconds
    return texts


def test_a_log_gets_one_line_while_plug_ins_are_checked():
    texts = checked(LineReporter(io.StringIO()), 1.0)
    assert texts == ["", "", *["checking plug-ins against plain torch: 2 of 4 nets\n"] * 3]


def test_a_terminal_shows_how_far_the_check_is_and_nothing_of_it_stays():
    texts = checked(BarReporter(io.StringIO()), 1.0)
    assert texts[:2] == ["", ""]
    assert texts[2] == "\r\x1b[Kchecking plug-ins against plain torch: 2 of 4 nets"
    assert texts[3].endswith("checking plug-ins against plain torch: 3 of 4 nets")
    assert texts[4].endswith("\r\x1b[K")


@pytest.mark.parametrize("kind", [LineReporter, BarReporter])
def test_a_quick_check_is_not_mentioned(kind):
    assert checked(kind(io.StringIO()), 0.4)[-1] == ""
