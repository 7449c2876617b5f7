"""A result of `run --decide`, made up: `verify` judges it at its looks, from CSV alone."""

import csv
import json

import numpy as np
import pytest
from helpers.cli import call
from helpers.results import claim, run, write

from normbench.analysis.sequential import standings
from normbench.analysis.tables import load_tables
from normbench.analysis.verify import verify
from normbench.plots import compute
from normbench.records.looks import RecordedLook, read_looks, write_looks
from normbench.stats.looks import LOOKS

UP = {"difference_at_least": 0}
CLEAR, WEAK = 0.2, 0.003


def made(folder, gains, claims=None, seeds=None, **more):
    """Write a folder: for each depth the seeds have these gains over the plain net."""
    runs = []
    for depth, own in gains.items():
        for seed, gain in enumerate(own):
            for norm, score in (("none", 0.5), ("batchnorm", 0.5 + gain)):
                cell = {"model.norm": norm, "model.depth": depth}
                curve = dict.fromkeys(range(0, 1001, 100), score)
                runs.append(run(cell, seed, final_test_accuracy=score, curve=curve))
    claims = claims or [claim("final_accuracy", for_each=["model.depth"], expect=UP)]
    return write(folder, runs, claims, seeds=seeds, **more)


def noise(n, mean, sd=0.01, seed=0):
    found = np.random.default_rng(seed).normal(size=n)
    return (mean + sd * (found - found.mean()) / found.std(ddof=1)).round(6).tolist()


def looked(folder, at):
    """Record looks at these numbers of seeds, with the numbers that the records give."""
    rows = [
        RecordedLook(*key, place, tuple(range(n)), 1.0, "inconclusive", "2026-11-27T21:19:24Z")
        for key, numbers in at.items()
        for place, n in enumerate(numbers, start=1)
    ]
    found = {(one.key, look.n): look for one in standings(load_tables(folder), rows) for look in one.looks}
    write_looks(
        folder,
        [
            RecordedLook(*row.key, row.number, row.seeds, there.p, there.word, row.date)
            for row in rows
            for there in [found[row.key, len(row.seeds)]]
        ],
    )
    return folder


def rows(folder):
    with (folder / "claims.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def two(tmp_path):
    """Return a result of which depth 1 was clear after 5 seeds, and depth 2 is open after 12."""
    made(tmp_path / "r", {1: noise(5, CLEAR), 2: noise(12, WEAK)}, seeds=12)
    return looked(tmp_path / "r", {("C", "depth 1"): [5], ("C", "depth 2"): [5, 8, 12]})


def test_each_verdict_is_the_one_of_its_looks(two):
    done = call("verify", two)
    assert done.exit_code == 0
    assert done.stderr == ""  # nothing is missing: cells differ in their seeds
    clear, open_ = rows(two)
    assert (clear["verdict"], clear["n"]) == ("supported", "5")
    assert "decided at n = 5, look 1 of 5" in clear["reason"]
    assert "Holm's correction for 2 verdicts" in clear["reason"]
    assert "not all groups" not in clear["reason"]
    assert (open_["verdict"], open_["n"]) == ("inconclusive", "12")
    assert open_["reason"].startswith("open after look 3 of 5 (n = 12): p over all looks ")
    assert "n = 30" in open_["reason"]  # what would decide it
    assert float(clear["p"]) < float(clear["p_family"]) < 1e-4
    assert json.loads(call("verify", two, "--json").stdout)[0]["p"] == float(clear["p"])


def test_p_values_are_the_smallest_over_the_looks(two):
    clear, open_ = standings(load_tables(two), read_looks(two))
    assert clear.p == pytest.approx(clear.looks[0].p / LOOKS[5])
    assert open_.p == min(look.p / LOOKS[look.n] for look in open_.looks)
    assert (clear.of, open_.of, open_.level) == (2, 2, pytest.approx(0.05))
    assert open_.left == [20, 30]


def test_what_holds_is_never_taken_back(tmp_path):
    """Later seeds speak against it, and were looked at: the look that decides stays."""
    gains = [*noise(5, CLEAR), *noise(7, -CLEAR, seed=1)]
    folder = made(tmp_path / "r", {1: gains})
    looked(folder, {("C", "depth 1"): [5]})
    before = verify(folder).verdicts[0]
    looked(folder, {("C", "depth 1"): [5, 8, 12]})
    (after,) = verify(folder).verdicts
    assert (before.verdict, before.n) == (after.verdict, after.n) == ("supported", 5)
    assert before.p == after.p


def test_a_verdict_that_peeking_would_support_stays_open(tmp_path):
    values = noise(8, 0.0085)  # p = 0.04 at n = 8: supported at a fixed n
    folder = made(tmp_path / "r", {1: values})
    assert verify(folder).verdicts[0].verdict == "supported"
    looked(folder, {("C", "depth 1"): [5, 8]})
    (one,) = verify(folder).verdicts
    assert one.verdict == "inconclusive"
    assert 0.05 < one.p < 0.3


def test_a_verdict_without_a_look_is_not_judged(two):
    looks = [look for look in read_looks(two) if look.group == "depth 2"]
    write_looks(two, looks)
    clear, _ = verify(two).verdicts
    assert clear.verdict == "inconclusive"
    assert clear.reason.startswith("no look was taken at it yet")
    assert clear.p == 1.0


def test_records_that_changed_since_the_looks_are_noticed(two):
    looks = read_looks(two)
    write_looks(two, [RecordedLook(*looks[0].key, 1, looks[0].seeds, 0.5, "refuted", "x"), *looks[1:]])
    (sentence,) = verify(two).missing
    assert "looks.csv: the records or claims have changed" in sentence
    assert "C (depth 1) at n = 5" in sentence
    assert verify(two).verdicts[0].verdict == "supported"


def test_a_plain_run_later_leaves_the_looks(two):
    """The config names fewer seeds again: the seeds of the looks stay part of the result."""
    text = (two / "config.yaml").read_text()
    before = [(one.verdict, one.n, one.p) for one in verify(two).verdicts]
    (two / "config.yaml").write_text(text.replace("seeds: 12", "seeds: 5"))
    assert [(one.verdict, one.n, one.p) for one in verify(two).verdicts] == before


def test_a_seed_whose_result_is_gone_leaves_its_looks_empty(tmp_path):
    folder = made(tmp_path / "r", {1: noise(5, CLEAR)}, seeds=5)
    looked(folder, {("C", "depth 1"): [5]})
    lines = (folder / "runs.csv").read_text().splitlines(keepends=True)
    (folder / "runs.csv").write_text("".join(lines[:-1]))
    found = verify(folder)
    assert found.verdicts[0].verdict == "inconclusive"
    assert any("changed since the looks" in sentence for sentence in found.missing)


def test_medians_begin_at_8_seeds(tmp_path):
    claims = [claim("final_accuracy", estimator="median", for_each=["model.depth"], expect=UP)]
    folder = made(tmp_path / "r", {1: noise(8, CLEAR)}, claims)
    looked(folder, {("C", "depth 1"): [8]})
    (one,) = verify(folder).verdicts
    assert one.verdict == "supported"
    assert one.p == pytest.approx(2 / 2**8 / 0.5, rel=1e-4)


def test_the_figure_of_claims_shows_the_verdicts_of_the_looks(two):
    ((_, chart),) = compute(load_tables(two), ["claims"])
    assert list(chart.grid.strips.values()) == ["supported, n = 5", "inconclusive, n = 12"]


def test_families_are_corrected_by_themselves(tmp_path):
    values = noise(6, 0.0115)  # p = 0.04
    plain = {"expect": UP, "of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}}
    claims = [claim("final_accuracy", id="A", **plain), claim("final_accuracy", id="B", **plain)]
    folder = made(tmp_path / "one", {1: values}, claims)
    assert [one.verdict for one in verify(folder).verdicts] == ["inconclusive"] * 2
    named = [{**claims[0], "family": "main"}, claims[1], {**claims[1], "id": "X", "family": "more"}]
    found = verify(made(tmp_path / "two", {1: values}, named)).verdicts
    assert [one.verdict for one in found] == ["supported"] * 3
    assert all(one.p == one.p_family for one in found)
    assert [row["family"] for row in rows(tmp_path / "two")] == ["main", "", "more"]
    pair = [named[0], {**named[1], "family": "main"}, {**named[2], "expect": {"difference_at_least": -1}}]
    found = verify(made(tmp_path / "three", {1: values}, pair)).verdicts
    assert [one.verdict for one in found] == ["inconclusive", "inconclusive", "supported"]
    assert "Holm's correction for 2 verdicts of the family 'main'" in found[0].reason


def test_primary_verdicts_are_corrected_over_the_book(tmp_path):
    plain = {"expect": UP, "of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}}
    first = claim("final_accuracy", primary=True, **plain)
    other = claim("final_accuracy", id="D", **plain)
    gains = {"a": noise(6, 0.2), "b": noise(6, 0.01225), "c": noise(6, 0.001)}
    for name, values in gains.items():
        made(tmp_path / name, {1: values}, [first, other])
    done = call("verify", *(tmp_path / name for name in gains))
    assert done.exit_code == 0
    assert "3 primary verdicts, corrected together at 5 %" in done.stdout
    found = {name: rows(tmp_path / name)[0] for name in gains}
    p = {name: float(row["p"]) for name, row in found.items()}
    assert float(found["a"]["p_book"]) == pytest.approx(3 * p["a"])
    assert float(found["b"]["p_book"]) == pytest.approx(3 * p["b"] / 2)
    assert float(found["b"]["p_family"]) == pytest.approx(2 * p["b"])
    assert (found["b"]["verdict"], found["b"]["book"]) == ("inconclusive", "supported")
    assert [row["book"] for row in found.values()] == ["supported", "supported", "inconclusive"]
    assert [(row["primary"], row["p_book"]) for row in (rows(tmp_path / "a")[1],)] == [("", "")]
    answer = json.loads(call("verify", tmp_path, "--json").stdout)  # a folder of them is a book, too
    assert [row["p_book"] for row in answer if row["primary"]] == [float(r["p_book"]) for r in found.values()]
    alone = verify(tmp_path / "b").verdicts[0]
    assert alone.p_book == alone.p  # a book of one
    assert call("verify", tmp_path / "a", tmp_path / "a").stdout.count("made_up: 2 verdicts") == 1
