"""Each measure on made-up runs whose answer is known."""

import math

import pytest
from helpers.config import BASE, CLAIM, experiment
from helpers.results import rate_runs, run, write

from normbench.analysis.pairing import Records
from normbench.analysis.tables import load_tables
from normbench.measures import MEASURES, Sample
from normbench.names import RATE
from normbench.stats.intervals import Span

RATES = [0.01, 0.1, 1, 10]
INF = math.inf


def sample(folder, runs):
    records = Records(load_tables(write(folder, runs)))
    found = records.runs
    rates = found[RATE].to_numpy(float) if RATE in found else [math.nan] * len(found)
    return Sample(found, rates, records.curves, records.layers)


def reading(folder, runs, name, **options):
    measure = MEASURES[name](name=name, **options)
    one = sample(folder, runs)
    return measure.settle([one]).reading(one)


def span(low, high=None, estimate=None):
    high = low if high is None else high
    return pytest.approx((low, high, low if estimate is None else estimate))


def ends(found):
    return found.low, found.high, found.estimate


REQUIRED = {
    "steps_to_target": {"target": 0.9},
    "seconds_to_target": {"target": 0.9},
    "probe": {"probe": "ics", "quantity": "ics.norm", "step": 0},
}


def test_every_measure_has_a_summary_and_a_label_of_its_own():
    labels = [cls(**REQUIRED.get(name, {})).label for name, cls in MEASURES.entries.items()]
    assert len(set(labels)) == len(MEASURES)
    for cls in MEASURES.classes():
        assert cls.summary().endswith("."), "the first line of the docstring is a whole sentence"


@pytest.mark.parametrize(
    ("outcomes", "expected", "holes"),
    [
        ("STTS", (1, 10, math.sqrt(10)), 0),
        ("TTTT", (10, INF, INF), 0),  # censored above
        ("TSTS", (0.01, 0.1, math.sqrt(0.001)), 1),
        ("TTST", (0.1, 1, math.sqrt(0.1)), 1),
        ("TT.D", (0.1, 10, 1.0), 0),  # a pending rate widens the gap
    ],
)
def test_max_stable_lr(tmp_path, outcomes, expected, holes):
    runs = rate_runs({}, 0, RATES, outcomes)
    assert ends(reading(tmp_path, runs, "max_stable_lr")) == pytest.approx(expected)
    assert MEASURES["max_stable_lr"]().holes(sample(tmp_path, runs)) == holes


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [("SSSS", Span(0, 0, 0)), ("SSDD", Span(0, 0, 0)), ("S.DD", None), ("....", None)],
)
def test_a_seed_that_trains_at_no_rate_has_the_rate_0(tmp_path, outcomes, expected):
    assert reading(tmp_path, rate_runs({}, 0, RATES, outcomes), "max_stable_lr") == expected


@pytest.mark.parametrize(
    ("outcomes", "expected", "holes"),
    [
        ("STSS", (10, INF, INF), 0),  # nothing diverges, whatever trains
        ("STSD", (1, 10, math.sqrt(10)), 0),
        ("SDTD", (0.01, 0.1, math.sqrt(0.001)), 1),
        ("TSCT", (0.1, 1, math.sqrt(0.1)), 1),  # a crash ends the block, too
        ("SS.D", (0.1, 10, 1.0), 0),
        ("DDSD", (1, 10, math.sqrt(10)), 0),  # the first block, as for the rates that train
        ("DDDD", (0, 0, 0), 0),
        ("CDDD", (0, 0, 0), 0),
    ],
)
def test_largest_rate_without_divergence(tmp_path, outcomes, expected, holes):
    runs, name = rate_runs({}, 0, RATES, outcomes), "largest_rate_without_divergence"
    assert ends(reading(tmp_path, runs, name)) == pytest.approx(expected)
    assert MEASURES[name]().holes(sample(tmp_path, runs)) == holes


def test_rates_that_may_not_diverge_are_not_the_rate_0(tmp_path):
    runs = rate_runs({}, 0, RATES, "D.DD")
    assert reading(tmp_path, runs, "largest_rate_without_divergence") is None


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("STTS", (1, 3, 2)),  # 0.1 to 1 for sure, 0.01 to 10 at most
        ("STSS", (0, 2, 1)),
        ("TTSS", (1, INF, INF)),  # slower rates may train, too
        ("STTT", (2, INF, INF)),
        ("SSSD", (0, 1, 0)),
        ("STST", (0, 2, 1)),  # the hole does not count
    ],
)
def test_decades_of_rates(tmp_path, outcomes, expected):
    found = reading(tmp_path, rate_runs({}, 0, RATES, outcomes), "decades_of_rates")
    assert ends(found) == pytest.approx(expected)


def test_share_that_trains(tmp_path):
    runs = rate_runs({}, 0, RATES, "TTS.")
    assert reading(tmp_path, runs, "share_that_trains") == Span(2 / 3, 2 / 3, 2 / 3)
    assert reading(tmp_path, rate_runs({}, 0, RATES, "...."), "share_that_trains") is None


def swept(rates, outcomes, losses, start=2.3):
    """Runs of one cell and seed with these final losses; all have the same loss before training."""
    return [
        run({"optimizer.lr": rate}, 0, outcome, final_test_loss=loss, curve={0: 0.1}, start=start)
        for rate, outcome, loss in zip(rates, outcomes, losses, strict=True)
    ]


@pytest.mark.parametrize(
    ("rates", "outcomes", "losses", "expected"),
    [
        # one decade each: the mean of the middles, (1.4 + 0.6) / 2, (0.6 + 0) / 2, (0 + 2.1) / 2
        (RATES, "STTD", [1.6, 0.8, 0.2, None], (1.0 + 0.3 + 1.05) / 3),
        (RATES, "STTS", [1.6, 0.8, 0.2, 99.0], (1.0 + 0.3 + 1.05) / 3),  # worse than before training: L0
        (RATES, "STTC", [1.6, 0.8, 0.2, None], (1.0 + 0.3 + 1.05) / 3),
        # the same curve on an unequal grid: a point on a straight line changes nothing
        ([0.01, 0.1, math.sqrt(0.1), 1, 10], "STTTD", [1.6, 0.8, 0.5, 0.2, None], (1.0 + 0.3 + 1.05) / 3),
        (RATES, "TTTT", [0.3, 0.3, 0.3, 0.3], 0.0),
        (RATES, "SSSD", [2.2, 2.1, 2.2, None], None),  # no rate trains: near 0 for a net that learns nothing
        (RATES, "STT.", [1.6, 0.8, 0.2, None], None),
        (RATES, "STTS", [1.6, 0.8, 0.2, None], None),  # a finished run whose loss is lost
        ([0.1], "T", [0.2], None),
    ],
)
def test_lr_sensitivity(tmp_path, rates, outcomes, losses, expected):
    found = reading(tmp_path, swept(rates, outcomes, losses), "lr_sensitivity")
    assert found is None if expected is None else ends(found) == span(expected)


def test_lr_sensitivity_needs_the_loss_before_training(tmp_path):
    runs = swept(RATES, "STTD", [1.6, 0.8, 0.2, None], start=None)
    assert reading(tmp_path, runs, "lr_sensitivity") is None


CURVE = {0: 0.1, 100: 0.5, 200: 0.9, 300: 0.85, 1000: 0.95}


@pytest.mark.parametrize(
    ("options", "curve", "outcome", "expected"),
    [
        ({"target": 0.9}, CURVE, "T", (100, 200, 200)),  # a tie reaches it; falling back does not matter
        ({"target": 0.1}, CURVE, "T", (0, 0, 0)),
        ({"target": 0.05}, {100: 0.5}, "T", (0, 100, 100)),  # before the first evaluation
        ({"target": 0.96}, CURVE, "T", (1000, INF, INF)),  # a miss: it needs more than its steps
        ({"target": 0.96}, {0: 0.1, 100: 0.5}, "D", (INF, INF, INF)),  # it never will
        ({"target": 0.4}, {0: 0.1, 100: 0.5}, "D", (0, 100, 100)),
        ({"share_of_best": 0.9}, CURVE, "T", (100, 200, 200)),  # of 0.95: 0.855
    ],
)
def test_steps_to_target(tmp_path, options, curve, outcome, expected):
    found = reading(tmp_path, [run({}, 0, outcome, curve=curve)], "steps_to_target", **options)
    assert ends(found) == expected


def test_a_torn_curve_has_no_steps_unless_it_reached_the_target(tmp_path):
    torn = [run({}, 0, curve={0: 0.1, 100: 0.5})]  # of 1,000 steps
    assert reading(tmp_path, torn, "steps_to_target", target=0.9) is None
    assert reading(tmp_path, torn, "steps_to_target", target=0.5) == Span(0, 100, 100)


def test_seconds_to_a_target_are_its_steps_times_the_seconds_of_a_step(tmp_path):
    timed = run({}, 0, curve=CURVE, train_seconds=20.0)  # 1,000 steps
    assert ends(reading(tmp_path, [timed], "seconds_to_target", target=0.9)) == (2, 4, 4)
    assert ends(reading(tmp_path, [timed], "seconds_to_target", target=0.96)) == (20, INF, INF)
    untimed = run({}, 0, curve=CURVE)
    assert reading(tmp_path, [untimed], "seconds_to_target", target=0.9) is None


@pytest.mark.parametrize("options", [{}, {"target": 0.9, "share_of_best": 0.9}, {"target": 90.0}])
def test_steps_to_target_needs_one_target(options):
    with pytest.raises(ValueError, match=r"exactly one|at most 1"):
        MEASURES["steps_to_target"](**options)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("final_accuracy", {}, 0.9),
        ("final_accuracy", {"part": "train"}, 0.97),
        ("final_loss", {}, 0.4),
        ("best_accuracy", {}, 0.92),
        ("best_loss", {"part": "train"}, 0.1),
        ("generalisation_gap", {}, 0.05),
        ("generalisation_gap", {"what": "loss"}, 0.1),
        ("generalisation_gap", {"training": "batches"}, 0.07),
        ("generalisation_gap", {"what": "loss", "training": "batches"}, 0.2),
        ("inference_gap", {}, 0.02),
        ("seconds_per_step", {}, 0.002),
    ],
)
def test_numbers_of_a_run(tmp_path, name, options, expected):
    values = {
        **{"final_test_accuracy": 0.9, "final_train_accuracy": 0.97, "final_test_loss": 0.4},
        **{"best_test_accuracy": 0.92, "best_train_loss": 0.1, "final_train_loss": 0.2, "train_seconds": 2.0},
        **{"inference_train_accuracy": 0.95, "inference_train_loss": 0.3, "inference_train_images": 100},
    }
    assert ends(reading(tmp_path, [run({}, 0, **values)], name, **options)) == span(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("final_accuracy", span(0.1)),  # chance
        ("final_loss", (INF, INF, INF)),
        ("best_accuracy", span(0.5)),  # what it reached before
        ("generalisation_gap", None),
        ("inference_gap", None),
    ],
)
def test_a_diverged_run(tmp_path, name, expected):
    runs = [run({}, 0, "D", steps=100, final_test_accuracy=0.5, best_test_accuracy=0.5)]
    found = reading(tmp_path, runs, name)
    assert (found if expected is None else ends(found)) == expected


@pytest.mark.parametrize(
    "name", ["final_accuracy", "final_loss", "best_accuracy", "best_loss", "seconds_per_step"]
)
def test_a_number_that_is_not_there(tmp_path, name):
    assert reading(tmp_path, [run({}, 0)], name) is None


def test_the_gap_of_older_records_is_not_that_of_the_batches(tmp_path):
    """Version 0.2 did not measure training images at inference: no number, and a sentence that says why."""
    values = {"final_test_accuracy": 0.9, "final_train_accuracy": 0.97}
    assert reading(tmp_path, [run({}, 0, **values)], "generalisation_gap") is None
    assert "version 0.2" in MEASURES["generalisation_gap"].absent


LAYERS = [
    (0, "a", "weights.norm", 1.0),
    (0, "b", "weights.norm", 3.0),
    (9, "a", "weights.norm", 5.0),
    (9, "b", "weights.norm", 5.0),
    (9, "a", "weights.x", 7.0),
    (9, "net", "weights.norm", 99.0),
    (9, "net", "weights.whole", 8.0),
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"layer": "a", "step": 0}, 1),
        ({"step": 0}, 2),
        ({"aggregate": "mean"}, 3.5),
        ({"aggregate": "last"}, 5),
        ({"aggregate": "last", "layer": "net"}, 99),
        ({"aggregate": "last", "quantity": "weights.whole"}, 8),
        ({"aggregate": "range", "layer": "a"}, 4),
        ({"step": 0, "layer": "b", "relative_to": "a"}, 3),
        ({"aggregate": "max", "layer": "b", "relative_to": "a"}, 3),
        ({"step": 0, "layer": "b", "relative_to": "c"}, None),
        ({"aggregate": "min", "layer": "b"}, 3),
        ({"aggregate": "max", "layer": "a", "quantity": "weights.x"}, 7),
        ({"step": 4}, None),
        ({"aggregate": "median", "layer": "c"}, None),
    ],
)
def test_probe(tmp_path, options, expected):
    found = reading(
        tmp_path,
        [run({}, 0, layers=LAYERS)],
        "probe",
        probe="weights",
        **{"quantity": "weights.norm", **options},
    )
    assert found == (None if expected is None else Span(expected, expected, expected))


def test_a_probe_that_is_off_or_unknown_is_a_problem():
    known, misspelt = (
        MEASURES["probe"](probe=name, quantity=f"{name}.norm", step=0) for name in ("weights", "weigths")
    )
    assert known.problem(["weights"]) is None
    assert "'weights' is off; add it: 'probes: [ics, weights]'" in known.problem(["ics"])
    assert "'weigths' is unknown; did you mean 'weights'?" in misspelt.problem(["ics"])


def test_probe_needs_a_step_or_an_aggregate():
    with pytest.raises(ValueError, match="exactly one"):
        MEASURES["probe"](probe="weights", quantity="weights.norm")
    with pytest.raises(ValueError, match=r"its quantities begin with 'weights\.'"):
        MEASURES["probe"](probe="weights", quantity="norm", step=0)


def test_the_name_of_the_figure_is_a_short_name_of_the_measure():
    found = experiment(
        CLAIM.replace("max_stable_lr", "largest_rate").partition("  - {id: C3")[0],
        base=BASE
        + "sweep: {model.norm: [none, batchnorm, selu], model.depth: [1, 2], optimizer.lr: [0.1, 1]}\n",
    )
    assert found.claims[0].measure.name == "max_stable_lr"
    assert found.raw["claims"][0]["measure"] in ("max_stable_lr", {"name": "max_stable_lr"})
