"""`decide:` in the config: `run` decides by itself, for all claims or the primary one alone."""

import json
import shutil

import pytest
import yaml
from helpers.cli import call, config_file, good
from helpers.launch import SPLIT, after, records, train

from normbench import api
from normbench.analysis.verify import verify
from normbench.config import dump_config, load_config, parse_config
from normbench.errors import ConfigError, NormbenchError
from normbench.records.looks import read_looks

# P is open for long, and W has its cells. M and W are medians: their first look takes 8 seeds.
CONFIG = """
name: tiny
seeds: 2
decide: {max_seeds: 8, claims: primary}
data: {name: digits, train_size: 200, test_size: 100, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 20, eval_every: 20}
sweep:
  model.norm: [none, batchnorm, layernorm, rmsnorm]
  optimizer.lr: [0.1, 1]
claims:
  - {id: S, statement: It helps., measure: final_accuracy, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {difference_at_least: 0.2}}
  - {id: M, statement: It helps., measure: final_accuracy, of: {model.norm: rmsnorm},
     against: {model.norm: none}, expect: {difference_at_least: 0.2}, estimator: median}
  - {id: P, statement: It helps a lot., measure: final_accuracy, of: {model.norm: layernorm},
     against: {model.norm: none}, expect: {difference_at_least: 0.2}, primary: true, family: primary}
  - {id: W, statement: The same by another estimator., measure: final_accuracy, of: {model.norm: layernorm},
     against: {model.norm: none}, expect: {difference_at_least: 0.2}, estimator: median}
"""
SECTION = "decide: {max_seeds: 8, claims: primary}\n"
WITHOUT = CONFIG.replace(SECTION, "")


def seeds_of(folder):
    runs = api.load(folder / "tiny").runs
    runs = runs[runs["outcome"].notna()]
    return {norm: rows["seed"].nunique() for norm, rows in runs.groupby("model.norm")}


def taken(folder):
    return [(look.id, len(look.seeds)) for look in read_looks(folder / "tiny")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, CONFIG)


def test_seeds_are_added_for_the_primary_claim_alone_and_others_are_looked_at_when_due(whole):
    folder, done = whole
    assert seeds_of(folder) == {"none": 8, "batchnorm": 5, "layernorm": 8, "rmsnorm": 5}
    assert done.trained == 2 * (8 + 5 + 8 + 5)
    # W gets its first look with the seeds of P; S and M get none beyond the first 5
    assert taken(folder) == [("S", 5), ("P", 5), ("P", 8), ("W", 8)]
    verdicts = {one.id: one for one in verify(folder / "tiny").verdicts}
    assert verdicts["M"].reason.startswith("no look was taken at it yet; the first one needs 8 seeds")
    assert verify(folder / "tiny").missing == []
    raw = yaml.safe_load((folder / "tiny" / "config.yaml").read_text())
    assert raw["decide"] == {"max_seeds": 8, "claims": "primary"}
    assert raw["seeds"] == list(range(8))


def test_stopped_again_and_again_it_takes_the_same_looks(tmp_path, whole):
    stops = 0
    while train(tmp_path, CONFIG, should_stop=after(3)).interrupted:
        stops += 1
        assert stops < 60
    assert stops > 1
    assert records(tmp_path, SPLIT) == records(whole[0], SPLIT)
    assert taken(tmp_path) == taken(whole[0])


def test_the_section_changes_no_run_and_may_come_go_and_change(tmp_path, whole):
    plans = [api.plan(config_file(tmp_path, text)) for text in (CONFIG, WITHOUT)]
    assert [run.run_id for run in plans[0].runs] == [run.run_id for run in plans[1].runs]
    assert train(tmp_path, WITHOUT).trained == 2 * 4 * 2  # the seeds of the config alone
    assert train(tmp_path, CONFIG).trained == whole[1].trained - 2 * 4 * 2  # it comes: its runs are kept
    assert taken(tmp_path) == taken(whole[0])
    assert train(tmp_path, CONFIG, decide=False).trained == 0
    changed = CONFIG.replace("{max_seeds: 8, claims: primary}", "{}").replace("seeds: 2", "seeds: 3")
    train(tmp_path, changed, max_seeds=8)
    assert taken(tmp_path)[:4] == taken(whole[0])
    assert dict(taken(tmp_path))["M"] == 8  # now its cells get seeds, too
    raw = yaml.safe_load((tmp_path / "tiny" / "config.yaml").read_text())
    assert raw["decide"] == {"max_seeds": 8, "claims": "all"}  # as --max-seeds said
    assert train(tmp_path, WITHOUT).trained == 0


def test_every_command_reads_such_a_folder(tmp_path, whole):
    shutil.copytree(whole[0] / "tiny", tmp_path / "results" / "tiny")
    folder = tmp_path / "results" / "tiny"
    assert call("verify", folder).exit_code in (0, 3)
    good("plot", folder, "--figure", "claims")
    good("report", folder)
    (status,) = json.loads(good("status", folder, "--json").stdout)
    assert (status["runs"], status["statuses"]["pending"]) == (whole[1].trained, 0)


def test_the_command_follows_each_config_and_the_flags_override(tmp_path, whole):
    shutil.copytree(whole[0] / "tiny", tmp_path / "tiny")
    (tmp_path / "b").mkdir()
    plain = config_file(tmp_path / "b", WITHOUT.replace("name: tiny", "name: plain"))
    own = config_file(tmp_path, CONFIG)
    args = ("--results", tmp_path, "--no-figures", "--json", "--device", "cpu")
    answers = json.loads(good("run", own, plain, *args, "--budget", "1h").stdout)
    assert [(one["name"], one["trained"], "verdicts" in one) for one in answers] == [
        *[("tiny", 0, True), ("plain", 16, False)]
    ]
    (answer,) = json.loads(good("run", own, *args, "--no-decide").stdout)
    assert (answer["trained"], "verdicts" in answer) == (0, False)
    refused = call("run", own, *args, "--no-decide", "--max-seeds", "8")
    assert refused.exit_code == 2
    assert "--max-seeds: works where claims are decided alone" in refused.stderr
    refused = call("run", own, plain, *args, "--no-decide", "--budget", "1h")
    assert refused.exit_code == 2
    assert "--budget: works where claims are decided alone" in refused.stderr
    refused = call("run", own, *args, "--max-seeds", "4")
    assert refused.exit_code == 2
    assert "the first look at tiny takes 5 seeds" in refused.stderr


def test_a_budget_in_the_config_ends_the_training(tmp_path):
    done = train(tmp_path, CONFIG.replace("max_seeds: 8", "budget: 0.000001s"))
    assert (done.interrupted, taken(tmp_path)) == (False, [])
    with pytest.raises(NormbenchError, match=r"--budget: works where"):
        train(tmp_path, WITHOUT, budget=3.0)


def test_plan_tells_the_time_of_the_first_seeds_and_of_all(tmp_path):
    text = good("plan", config_file(tmp_path, CONFIG)).stdout
    assert "`run` adds seeds to the cells of the primary claim until it is decided, up to 8 (`decide" in text
    assert "with the first 5 seeds" in text
    assert "note: with n = 5 and 3 verdicts no median here can be decided; 7 seeds can" in text
    (primary,) = json.loads(good("plan", config_file(tmp_path, CONFIG), "--json").stdout)
    (every,) = json.loads(good("plan", config_file(tmp_path, CONFIG), "--set", "decide={}", "--json").stdout)
    (none,) = json.loads(good("plan", config_file(tmp_path, WITHOUT), "--json").stdout)
    assert none["decide"] is None
    assert primary["decide"]["first_seeds"] == list(range(5))
    assert primary["decide"]["most_seeds_of"] == {"S": 5, "M": 5, "P": 8, "W": 5}
    assert every["decide"]["most_seeds_of"] == dict.fromkeys("SMPW", 30)
    first, least, most = (
        primary["decide"]["estimated_seconds_first"],
        primary["decide"]["estimated_seconds_all"],
        every["decide"]["estimated_seconds_all"],
    )
    assert none["estimated_seconds"] <= first <= least < most
    assert every["decide"]["estimated_seconds_first"] == first


@pytest.mark.parametrize("section", ["{}", "{max_seeds: 12, budget: 10m, claims: all}"])
def test_what_is_recorded_is_read_as_the_same(section):
    found = parse_config(CONFIG.replace("{max_seeds: 8, claims: primary}", section))
    again = parse_config(dump_config(found))
    assert again.decide == found.decide
    assert again.raw == found.raw
    assert "decide" not in parse_config(WITHOUT).raw


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("primary: true, ", "", r":4:32: decide.claims: found 'primary', and no claim is; write `pri"),
        ("max_seeds: 8", "max_seeds: 31", r":4:21: decide.max_seeds: found 31; allowed: at least 5"),
        ("max_seeds: 8", "max_seeds: 4", r"decide.max_seeds: found 4; allowed: at least 5 and at most 30"),
        ("max_seeds: 8", "budget: an hour", r"decide.budget: found 'an hour'; allowed: a time above 0"),
        ("max_seeds: 8", "budget: 90", r"decide.budget: found '90'; allowed: a time above 0 such as 90s"),
        ("max_seeds: 8", "budget: ", r"decide.budget: found 'nothing'; allowed: a time above 0 such as 90s"),
        ("max_seeds: 8", "most: 8", r"'most' is an unknown key"),
        ("claims: primary", "claims: first", r"'first' is unknown; one of: all, primary"),
        ("{max_seeds: 8, claims: primary}", "", r"decide: found nothing; allowed: a mapping with"),
        ("{max_seeds: 8, claims: primary}", "true", r"decide: found true; allowed: a mapping with"),
        ("of: {model.norm: layernorm}", "of: {model.norm: layernorm, seed: 0}", r"'seed': `decide` adds"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_be_followed_is_refused_with_its_place(tmp_path, old, new, sentence):
    assert old in CONFIG
    path = config_file(tmp_path, CONFIG.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_without_claims_there_is_nothing_to_decide(tmp_path):
    path = config_file(tmp_path, CONFIG[: CONFIG.index("claims:\n")])
    with pytest.raises(ConfigError, match=r"tiny\.yaml:4:1: decide: there are no claims to decide"):
        load_config(path)
