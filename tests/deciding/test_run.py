"""`run --decide` on the embedded digits: seeds for open claims alone, and the same looks after any stop."""

import json
import shutil

import pytest
import yaml
from helpers.cli import call, config_file
from helpers.launch import SPLIT, Heard, after, records, train

from normbench import deciding
from normbench.analysis.verify import verify
from normbench.records.looks import read_looks

CONFIG = """
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 100, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 20, eval_every: 20}
sweep:
  model.norm: [none, batchnorm, layernorm]
  optimizer.lr: [0.1, 1]
claims:
  - {id: A, statement: It helps., measure: final_accuracy, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {difference_at_least: 0}}
  - {id: B, statement: It helps a lot., measure: final_accuracy, of: {model.norm: layernorm},
     against: {model.norm: none}, expect: {difference_at_least: 0.2}}
"""
EDGE = """
name: tiny
seeds: [1, 0]
data: {name: digits, train_size: 200, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 1, width: 12}
train: {steps: 40, eval_every: 40}
sweep:
  model.norm: [none, batchnorm, layernorm]
  optimizer.lr: {edge: {from: 0.1, to: 10, precision: 1.5}}
claims:
  - {id: A, statement: It helps., measure: max_stable_lr, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {ratio_at_least: 1.1}}
  - {id: B, statement: It helps a lot., measure: max_stable_lr, of: {model.norm: layernorm},
     against: {model.norm: none}, expect: {ratio_at_least: 1.8}}
"""
DECIDE = {"decide": True, "max_seeds": 12, "checkpoint_every": 0}


def looks(folder):
    return [(*look.key, look.number, look.seeds, look.p, look.word) for look in read_looks(folder / "tiny")]


def everything(folder):
    """Return what must be equal, however often the training was stopped: all but times and dates."""
    verify(folder / "tiny")
    names = ("config.yaml", "claims.csv")
    return records(folder, SPLIT), looks(folder), *((folder / "tiny" / name).read_text() for name in names)


def seeds_of(folder):
    found = {}
    for row in records(folder)[1]:
        found.setdefault(row["model.norm"], set()).add(int(row["seed"]))
    return {norm: len(seeds) for norm, seeds in found.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, heard = tmp_path_factory.mktemp("whole"), Heard()
    return folder, train(folder, CONFIG, reporter=heard, **DECIDE), heard


def test_only_the_cells_of_open_claims_get_more_seeds(whole):
    folder, done, heard = whole
    first, second = verify(folder / "tiny").verdicts
    assert (first.verdict, first.n) == ("supported", 5)  # at the first look
    assert (second.verdict, second.n) == ("inconclusive", 12)  # still open
    assert seeds_of(folder) == {"none": 12, "batchnorm": 5, "layernorm": 12}
    assert done.trained == len(records(folder)[1]) == 2 * (5 + 12 + 12)
    assert (done.skipped, done.interrupted) == (0, False)
    assert [(id_, number, len(seeds)) for id_, _, number, seeds, *_ in looks(folder)] == [
        *[("A", 1, 5), ("B", 1, 5)],
        *[("B", 2, 8), ("B", 3, 12)],
    ]
    assert "A: supported, for good" in "\n".join(heard.messages)
    assert yaml.safe_load((folder / "tiny" / "config.yaml").read_text())["seeds"] == list(range(12))
    assert verify(folder / "tiny").missing == []


def test_stopped_again_and_again_it_takes_the_same_looks(tmp_path, whole):
    stops = 0
    while train(tmp_path, CONFIG, should_stop=after(3), **DECIDE).interrupted:
        stops += 1
        assert stops < 60
    assert stops > 1
    assert everything(tmp_path) == everything(whole[0])


def test_killed_before_a_look_is_recorded_it_takes_the_same_looks(tmp_path, whole, monkeypatch):
    write, calls = deciding.write_looks, []

    def dies(root, found):
        calls.append(len(found))
        if len(calls) in (1, 3):
            raise KeyboardInterrupt
        write(root, found)

    monkeypatch.setattr(deciding, "write_looks", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, CONFIG, **DECIDE)
    train(tmp_path, CONFIG, **DECIDE)
    assert calls == [2, 2, 3, 3, 4]
    assert everything(tmp_path) == everything(whole[0])


def test_a_budget_that_is_spent_keeps_everything_and_goes_on_later(tmp_path, whole):
    heard = Heard()
    done = train(tmp_path, CONFIG, reporter=heard, budget=1e-6, **DECIDE)
    assert (done.interrupted, looks(tmp_path)) == (False, [])
    assert deciding.BUDGET_SPENT in heard.messages
    train(tmp_path, CONFIG, **{**DECIDE, "max_seeds": 8})  # fewer seeds first
    assert max(seeds_of(tmp_path).values()) == 8
    train(tmp_path, CONFIG, **DECIDE)
    assert everything(tmp_path) == everything(whole[0])


def test_a_plain_run_afterwards_trains_nothing_and_leaves_the_verdicts(tmp_path, whole):
    shutil.copytree(whole[0] / "tiny", tmp_path / "tiny")
    before = [(one.verdict, one.n, one.p) for one in verify(tmp_path / "tiny").verdicts]
    again = train(tmp_path, CONFIG)
    assert again.trained == 0
    assert [(one.verdict, one.n, one.p) for one in verify(tmp_path / "tiny").verdicts] == before
    assert seeds_of(tmp_path) == seeds_of(whole[0])


def test_an_edge_is_searched_for_the_seeds_of_open_claims(tmp_path):
    done = train(tmp_path, EDGE, decide=True, max_seeds=8)
    first, second = verify(tmp_path / "tiny").verdicts
    assert (first.verdict, first.n) == ("supported", 5)
    assert second.n == 8
    assert seeds_of(tmp_path) == {"none": 8, "batchnorm": 5, "layernorm": 8}
    assert looks(tmp_path)[0][3] == (1, 0, 2, 3, 4)  # the own seeds come first, then those above them
    assert done.trained == len(records(tmp_path)[1])


def test_the_command_says_what_is_decided(tmp_path, whole):
    folder = whole[0]
    before = everything(folder)
    args = ("--results", folder, "--decide", "--max-seeds", "12", "--no-figures", "--budget", "30m")
    done = call("run", config_file(tmp_path, CONFIG), *args)
    assert done.exit_code == 0, done.stderr
    assert "A: supported at n = 5" in done.stdout
    assert "B: open after look 3 of 5 (n = 12): p over all looks" in done.stdout
    (answer,) = json.loads(call("run", config_file(tmp_path, CONFIG), *args, "--json").stdout)
    assert [row["verdict"] for row in answer["verdicts"]] == ["supported", "inconclusive"]
    assert (answer["trained"], answer["skipped"]) == (0, whole[1].trained)  # there was nothing to do
    assert everything(folder) == before


@pytest.mark.parametrize(
    ("args", "change", "sentence"),
    [
        (["--decide"], ("claims:", "more:"), "has no claims"),
        (["--decide"], ("seeds: 2", "seeds: 31"), "at most 30 are looked at"),
        (["--decide", "--max-seeds", "31"], ("", ""), "the last look takes 30 seeds"),
        (["--decide", "--max-seeds", "4"], ("", ""), "the first look at tiny takes 5 seeds"),
        (
            ["--decide"],
            ("of: {model.norm: batchnorm}", "of: {model.norm: batchnorm, seed: 0}"),
            "names seeds",
        ),
        (["--decide", "--budget", "half an hour"], ("", ""), "such as 90s, 30m or 2h"),
        (["--decide", "--budget", "0m"], ("", ""), "such as 90s, 30m or 2h"),
        (["--budget", "30m"], ("", ""), "--budget: works where claims are decided alone"),
        (["--max-seeds", "8"], ("", ""), "--max-seeds: works where claims are decided alone"),
    ],
)
def test_what_cannot_be_decided_is_refused_in_a_sentence(tmp_path, args, change, sentence):
    text = CONFIG.replace(*change)
    if "more:" in text:
        text = text[: text.index("more:")]
    result = call("run", config_file(tmp_path, text), "--results", tmp_path, *args)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "tiny").exists()
