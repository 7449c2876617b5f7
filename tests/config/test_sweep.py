# ruff: noqa: E501  (tables with one case in a line)
from collections import Counter

import pytest
from helpers.config import BASE, column, complaint, experiment

from normbench.config import dump_config, parse_config
from normbench.config.explain import validate


def test_the_first_axis_varies_slowest():
    result = experiment("sweep: {optimizer.lr: [0.1, 1], model.depth: [1, 2, 3]}")
    assert result.columns == ("optimizer.lr", "model.depth")
    assert [tuple(cell.values.values()) for cell in result.cells] == [
        (0.1, 1), (0.1, 2), (0.1, 3), (1, 1), (1, 2), (1, 3),
    ]  # fmt: skip
    assert result.cells[-1].settings.model.depth == 3
    assert result.cells[-1].settings.optimizer.lr == 1


def test_without_a_sweep_there_is_one_cell():
    result = experiment()
    assert [cell.values for cell in result.cells] == [{}]
    assert result.cells[0].settings == result.settings


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("{logspace: {from: 0.001, to: 100, num: 6}}", [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]),
        ("{logspace: {from: 10, to: 0.1, num: 3}}", [10.0, 1.0, 0.1]),
        ("{linspace: {from: 0.1, to: 0.7, num: 7}}", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        ("{linspace: {from: 2, to: 5, num: 1}}", [2.0]),
        ("{range: {from: 0.1, to: 0.5, step: 0.1}}", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("{range: {from: 1, to: 6, step: 2}}", [1, 3, 5]),
        ("{range: {from: 3, to: 1, step: -1}}", [3, 2, 1]),
    ],
)
def test_generated_axes(axis, values):
    assert column(experiment(f"sweep: {{optimizer.lr: {axis}}}"), "optimizer.lr") == values


def test_a_range_of_whole_numbers_stays_whole():
    result = experiment("sweep: {model.depth: {range: {from: 1, to: 5, step: 2}}}")
    assert column(result, "model.depth") == [1, 3, 5]
    assert all(type(cell.settings.model.depth) is int for cell in result.cells)


def test_generated_whole_numbers_serve_for_whole_options():
    result = experiment("sweep: {train.steps: {logspace: {from: 1, to: 1000, num: 4}}}")
    assert column(result, "train.steps") == [1, 10, 100, 1000]
    assert "found 2.5; allowed: a whole number" in complaint(
        "sweep: {train.steps: {linspace: {from: 1, to: 4, num: 3}}}"
    )


def test_a_broken_generated_file_is_refused_fast_and_in_few_lines():
    junk = ", ".join(f"k{number}: 1" for number in range(20_000))
    message = complaint(
        "sweep: {model.width: {range: {from: 1, to: 9000}}}", base=BASE.replace("depth: 2", junk)
    )
    assert len(message.splitlines()) == 51


def test_too_many_exclusions_are_refused():
    message = complaint(
        f"sweep: {{model.depth: {{range: {{from: 1, to: 900}}}}, exclude: [{{model.depth: {list(range(20_000))}}}]}}"
    )
    assert "20,000 values to exclude from 900 cells" in message


def test_a_zip_block_moves_together():
    result = experiment(
        "sweep: {zip: [{optimizer.name: [sgd, adam], train.steps: [20, 10]}], model.depth: [1, 2]}"
    )
    assert [tuple(cell.values.values()) for cell in result.cells] == [
        ("sgd", 20, 1), ("sgd", 20, 2), ("adam", 10, 1), ("adam", 10, 2),
    ]  # fmt: skip


def test_exclude_matches_names_and_numbers():
    result = experiment(
        "sweep:\n  model.norm: [none, batchnorm]\n"
        "  optimizer.lr: {logspace: {from: 0.001, to: 100, num: 11}}\n"
        "  exclude: [{model.norm: batchnorm, optimizer.lr: [100, 0.00316227766016837933]}, {model.depth: 7}]\n"
    )
    assert len(result.cells) == 20
    assert result.warnings == ["a.yaml:10:83: sweep.exclude: no cell matches; nothing is left out"]


def test_include_adds_to_the_grid_with_the_base_for_the_rest():
    result = experiment(
        "sweep: {model.norm: [none, layernorm], include: [{model.norm: selu, model.depth: [5, 6]}]}"
    )
    assert [tuple(cell.values.values()) for cell in result.cells] == [
        ("none", 2), ("layernorm", 2), ("selu", 5), ("selu", 6),
    ]  # fmt: skip


def test_include_alone_is_a_sweep_of_its_own_cells():
    result = experiment("sweep: {include: [{model.depth: 1}, {model.depth: 3, optimizer.lr: 2}]}")
    assert [tuple(cell.values.values()) for cell in result.cells] == [(1, 0.1), (3, 2)]


def test_naming_a_kind_keeps_the_options_that_it_has_and_comes_first():
    base = BASE.replace("lr: 0.1}", "lr: 0.1, momentum: 0.9, nesterov: true}")
    result = experiment("sweep: {optimizer.momentum: [0.5, 0.9], optimizer.name: [sgd, adam]}", base=base)
    assert [tuple(cell.values.values()) for cell in result.cells] == [
        (0.5, "sgd"),
        (None, "adam"),
        (0.9, "sgd"),
    ]
    assert [getattr(cell.settings.optimizer, "nesterov", None) for cell in result.cells] == [True, None, True]
    assert "it has no optimizer.momentum" in result.merged[0]


@pytest.mark.parametrize("key", ["optimizer", "optimizer.name"])
def test_a_kind_by_either_key(key):
    result = experiment(f"sweep: {{{key}: [sgd, adam]}}")
    assert column(result, key) == ["sgd", "adam"]


def test_a_mapping_replaces_the_section_and_gives_a_column_for_each_option():
    base = BASE.replace("width: 8", "width: 8, norm: {name: batchnorm, momentum: 0.5}")
    result = experiment("sweep: {model.norm: [none, batchnorm, {name: batchnorm, eps: 1e-3}]}", base=base)
    assert [dict(cell.values) for cell in result.cells] == [
        {"model.norm": "none", "model.norm.eps": None},
        {"model.norm": "batchnorm", "model.norm.eps": 1e-5},
        {"model.norm": "batchnorm", "model.norm.eps": 1e-3},
    ]
    assert [getattr(cell.settings.model.norm, "momentum", None) for cell in result.cells] == [None, 0.5, 0.1]


def test_an_option_that_only_some_variants_have():
    result = experiment("sweep: {model.norm.eps: [1e-5, 1e-3], model.norm: [none, batchnorm]}")
    assert column(result, "model.norm.eps") == [None, 1e-5, 1e-3]
    assert result.merged == [
        "none: model.norm.eps 1e-05 and 0.001 give the same cells (it has no model.norm.eps); 1 cell merged"
    ]


def test_what_a_normalization_sets_is_merged_and_said():
    result = experiment(
        "sweep: {model.norm: [none, selu], model.activation: [sigmoid, relu], optimizer.lr: [0.1, 1, 10]}"
    )
    assert len(result.cells) == 9
    assert {
        cell.values["model.activation"] for cell in result.cells if cell.values["model.norm"] == "selu"
    } == {"selu"}
    assert result.merged == [
        "selu: model.activation sigmoid and relu give the same cells "
        "(its normalization sets model.activation = selu); 3 cells merged"
    ]


def test_values_given_twice_are_one_cell():
    assert len(experiment("sweep: {model.depth: [1, 2, 1]}").cells) == 2


@pytest.mark.parametrize(
    ("sweep", "parts"),
    [
        ("{}", ["a.yaml:7:8: sweep: empty"]),
        ("", ["a.yaml:7:7: sweep: found nothing", "leave 'sweep' out"]),
        ("[1]", ["a.yaml:7:8: sweep: found [1]; allowed: a mapping"]),
        ("{model.depth: []}", ["a.yaml:7:22: sweep.model.depth: an empty list"]),
        ("{model.depth: 3}", ["a.yaml:7:22: sweep.model.depth: found 3; allowed: a list of values"]),
        ("{model.depth: {logspac: {from: 1}}}", ["found a mapping with logspac; allowed: a list of values"]),
        ("{model.depht: [3]}", ["a.yaml:7:9: sweep.model.depht:", "did you mean 'depth'?"]),
        ("{modl.depth: [3]}", ["did you mean 'model'?"]),
        ("{depth: [3]}", ["keys are dotted, such as model.depth"]),
        ("{model.depth.x: [3]}", ["'x' is an unknown key"]),
        ("{model..depth: [3]}", ["has an empty part"]),
        ("{seeds: [1, 2]}", ["seeds are no axis of a sweep; write 'seeds: [0, 1, 2]' at the top"]),
        ("{train: [1]}", ["is a whole section"]),
        ("{train.trains_below: [0.5]}", ["cannot be swept"]),
        ("{data.root: [x]}", ["cannot be swept"]),
        ("{model.norm.eps: [1e-5]}", ["no variant of this sweep has it"]),
        ("{model.depth: [1, x, 0]}", ["7:26: model.depth: found 'x'", "7:29: model.depth: found 0; allowed: at least 1"]),
        ("{model.norm: [none, batchnrm]}", ["7:28: model.norm: 'batchnrm' is unknown; did you mean 'batchnorm'?"]),
        ("{model.norm: [{name: batchnorm, esp: 1}]}", ["7:40: model.norm.esp: 'esp' is an unknown key; did you mean 'eps'?"]),
        ("{optimizer.name: [{name: sgd}]}", ["allowed: a name; a mapping goes under 'optimizer'"]),
        ("{optimizer: [sgd], optimizer.name: [adam]}", ["swept twice, also as 'optimizer'"]),
        ("{model.depth: [1], zip: [{model.depth: [2]}]}", ["swept twice"]),
        ("{zip: [{model.depth: [1, 2], model.width: [1]}]}", ["1 values, but model.depth has 2"]),
        ("{zip: {model.depth: [1, 2]}}", ["allowed: a list of mappings"]),
        ("{zip: [1]}", ["sweep.zip[0]: found 1; allowed: a mapping"]),
        ("{model.depth: [1], exclude: [{model.depth: 1}]}", ["every cell is excluded"]),
        ("{model.depth: [1], exclude: [{model.dept: 1}]}", ["sweep.exclude[0].model.dept:", "did you mean 'depth'?"]),
        ("{optimizer.lr: {logspace: {from: 0, to: 1, num: 3}}}", ["logspace.from: found 0; allowed: greater than 0"]),
        ("{optimizer.lr: {linspace: {from: 1, to: 2}}}", ["linspace.num: missing; add it"]),
        ("{optimizer.lr: {linspace: {from: 1, to: 2, num: 2, base: 3}}}", ["base", "one of: from, to, num"]),
        ("{model.depth: {range: {from: 1, to: 3, step: 0}}}", ["range.step: found 0; allowed: a step that leads"]),
        ("{model.depth: {range: {from: 1, to: 3, step: -1}}}", ["a step that leads from 1 to 3"]),
        ("{optimizer.lr: {range: {from: 1, to: 2, step: 1e-9}}}", ["more than 100,000 values"]),
        ("{optimizer.lr: {linspace: {from: 1, to: 2, num: 9999}}, train.steps: {linspace: {from: 1, to: 2, num: 9999}}}",
         ["99,980,001 cells; at most 100,000"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_sweep(sweep, parts):
    message = complaint(f"sweep: {sweep}\n")
    assert message.startswith("a.yaml:")
    for part in parts:
        assert part in message


def test_a_wrong_value_is_named_once_not_once_per_cell():
    message = complaint("sweep: {model.depth: [1, 0], optimizer.lr: [1, 2, -1], train.steps: [1, 2, 3]}")
    assert len(message.splitlines()) == 2


def test_a_base_may_leave_to_the_sweep_what_it_requires():
    base = BASE.replace("model: {name: mlp, depth: 2, width: 8, activation: relu}\n", "")
    result = experiment("sweep: {model: [mlp, {name: mlp, depth: 7}]}", base=base)
    assert [cell.settings.model.depth for cell in result.cells] == [3, 7]
    again = parse_config(dump_config(result))
    assert again.cells == result.cells


def test_ten_thousand_cells_validate_each_section_once(monkeypatch):
    validated = []

    def counted(cls, *rest):
        validated.append(cls.__name__)
        return validate(cls, *rest)

    monkeypatch.setattr("normbench.config.cells.validate", counted)
    depths, rates = list(range(1, 101)), [round(0.001 * i, 3) for i in range(1, 101)]
    result = experiment(f"sweep:\n  model.depth: {depths}\n  optimizer.lr: {rates}\n")
    assert len(result.cells) == 10_000
    assert Counter(validated) == {"MLP": 101, "SGD": 101, "Digits": 2, "Train": 2}  # the base is one more


def test_ten_thousand_written_cells_load():
    numbers = list(range(1, 10_001))
    result = experiment(f"sweep: {{zip: [{{train.steps: {numbers}, train.eval_every: {numbers}}}]}}")
    assert len(result.cells) == 10_000
