"""A folder reads the same whether it is finished, in progress or repaired."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.records_folder import CONFIG, events, plan_of, run_all, stacks_of
from helpers.shipped import SHIPPED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normbench.engine.events import Evaluation, Layers
from normbench.errors import RecordsError
from normbench.names import QUANTITIES
from normbench.planning.runs import RunSpec
from normbench.records import ResultsFolder, folder_status, format_float, read_layers, read_metrics, read_runs
from normbench.records.schema import LAYERS, METRICS, PART_RUNS, runs_table, swept_values

RUN_NUMBERS = [
    *(
        c.name
        for c in PART_RUNS.columns
        if c.kind in ("int?", "float") and c.name not in ("trains_below", "rows")
    ),
    *(f"{form}_{name}" for name in QUANTITIES for form in ("final", "best")),
]
WORDS = ["run_id", "status", "outcome", "stack", "executor", "decided"]


def frames(root):
    return read_runs(root), read_metrics(root), read_layers(root)


def assert_equal(one, other):
    for mine, yours in zip(one, other, strict=True):
        assert "warnings" in mine.attrs
        pd.testing.assert_frame_equal(mine, yours, check_exact=True)


def assert_types(root):
    runs, metrics, layers = frames(root)
    kinds = dict.fromkeys(RUN_NUMBERS, "float64") | dict.fromkeys(WORDS, "object")
    kinds |= {"seed": "int64", "model.norm": "object", "optimizer.lr": "float64"}
    assert runs.dtypes.astype(str).to_dict() == kinds
    floats = dict.fromkeys(METRICS.names[2:], "float32")
    assert metrics.dtypes.astype(str).to_dict() == {"run_id": "category", "step": "int64", **floats}
    assert layers.dtypes.astype(str).to_dict() == {
        **{"run_id": "category", "step": "int64"},
        **{"layer": "category", "quantity": "category", "value": "float64"},
    }
    for frame in (metrics, layers):
        assert frame["run_id"].cat.categories.tolist() == runs["run_id"].tolist()


def with_layers(stack):
    """Yield the events of a stack with two rows of layers before each evaluation."""
    for event in events(stack):
        if isinstance(event, Evaluation):
            values = [("hidden.1", "weights.norm", event.step / 3), ("hidden.0", "weights.norm", 0.1)]
            yield Layers(event.run_id, event.step, tuple(values))
        yield event


def write(folder, stack, upto=None):
    with folder.writer(stack) as writer:
        for event in list(with_layers(stack))[:upto]:
            writer.write(event)


def torn(root, into):
    """Copy a folder and add half a line to each file: it is then read line by line."""
    shutil.copytree(root, into, ignore=shutil.ignore_patterns("plots"))
    for name in ("runs.csv", "metrics.csv", "layers.csv"):
        if (into / name).exists():
            with (into / name).open("ab") as file:
                file.write(b"0123456789ab,1")
    return into


def assert_the_same_line_by_line(folder, copy):
    whole, healed = frames(folder), frames(torn(folder, copy))
    assert any("torn" in text for text in healed[0].attrs["warnings"])
    assert whole[0].attrs["warnings"] == []
    assert_equal(whole, healed)
    return whole


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_shipped_results_read_the_same_line_by_line(tmp_path, folder):
    assert_the_same_line_by_line(folder, tmp_path / "torn")


def test_layers_read_the_same_line_by_line(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        for stack in stacks_of(plan):
            write(folder, stack)
        folder.merge()
    _, metrics, layers = assert_the_same_line_by_line(root, root.parent / "torn")
    assert len(layers) == 2 * len(metrics) > 0


def test_parts_read_like_the_merged_files_that_they_become(root, plan):
    """The stacks end in another order than the plan's; one is merged before the others end."""
    first, *others = stacks_of(plan)
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        write(folder, others.pop())
        folder.merge()
        for stack in (*others, first):
            write(folder, stack)
        in_parts = frames(root)
        assert_types(root)
        folder.merge()
    assert_equal(in_parts, frames(root))
    assert in_parts[1]["run_id"].drop_duplicates().tolist() == [run.run_id for run in plan.runs]
    assert len(in_parts[2]) == 2 * len(in_parts[1])


@pytest.mark.parametrize("upto", [None, 0, 1, 9, 30])
def test_the_types_are_the_same_at_any_time(root, plan, upto):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert_types(root)
        write(folder, stacks_of(plan)[0], upto)
        assert_types(root)
    assert_types(root)
    assert_types(torn(root, root.parent / "torn"))


def test_the_types_are_the_same_without_metrics_and_layers(root, plan):
    run_all(root, plan)
    (root / "metrics.csv").unlink()
    assert_types(root)
    assert read_metrics(root).empty


def test_ids_and_words_stay_texts(root, plan):
    first = plan.runs[0]
    values = [{"a": "none", "b": "off"}, {"a": "nan", "b": "true"}, {"a": 'a "b", c', "b": "1e5"}]
    ids = ["12e4", "000000010000", "nan"]
    runs = [
        RunSpec(i, 0, first.settings, {**value, "optimizer.lr": 1})
        for i, value in zip(ids, values, strict=True)
    ]
    odd = plan_of(runs, ["a", "b", "optimizer.lr"])
    with ResultsFolder(root) as folder:
        folder.open_for_run(odd, CONFIG)
        for stack in stacks_of(odd):
            write(folder, stack)
        folder.merge()
    for folder in (root, torn(root, root.parent / "torn")):
        found, metrics, layers = frames(folder)
        assert found["run_id"].tolist() == ids
        assert metrics["run_id"].drop_duplicates().tolist() == ids
        assert layers["run_id"].drop_duplicates().tolist() == ids
        assert found["a"].tolist() == [value["a"] for value in values]
        assert found["b"].tolist() == [value["b"] for value in values]
        assert found["optimizer.lr"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-20"], [1, -20]),
        (["1", "0.5"], [1.0, 0.5]),
        (["1", ""], [1.0, np.nan]),
        (["1e-05", "inf", "-inf"], [1e-5, np.inf, -np.inf]),
        (["9" * 30], [1e30]),
        (["none", "1"], ["none", "1"]),
        (["nan", "0.5"], ["nan", "0.5"]),
        (["true", "false", ""], ["true", "false", None]),
        (["'=1+2", "'-5"], ["=1+2", "-5"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["0x10"], ["0x10"]),
        ([""], [None]),
        ([], []),
    ],
)
def test_swept_cells(cells, values):
    assert repr(swept_values(cells)) == repr(values)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.floats(width=32) | st.none(), min_size=1, max_size=8), wide=st.floats())
def test_numbers_come_back(tmp_path, numbers, wide):
    folder = tmp_path / "x"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    header = runs_table([]).names
    (folder / "runs.csv").write_text(",".join(header) + "\na,0,pending" + "," * (len(header) - 3) + "\n")
    texts = [format_float(number, "float32") for number in numbers]
    rows = [f"a,{step},0.5,1.0,{text},,,,,\n" for step, text in enumerate(texts)]
    (folder / "metrics.csv").write_text(",".join(METRICS.names) + "\n" + "".join(rows))
    layers = f"a,0,l,q,{format_float(wide)}\n"
    (folder / "layers.csv").write_text(",".join(LAYERS.names) + "\n" + layers)
    found = read_metrics(folder)["train_loss"].to_numpy()
    expected = np.array([np.nan if number is None else number for number in numbers], "float32")
    np.testing.assert_array_equal(found, expected)
    (value,) = read_layers(folder)["value"]
    assert value == pytest.approx(wide, rel=1e-15, nan_ok=True)


def test_rows_of_runs_that_are_not_listed_are_left_out(root, plan):
    run_all(root, plan)
    before = frames(root)
    with (root / "metrics.csv").open("a") as file:
        file.write("unknown,0,0.0,1.0,,,,,,\n")
    assert_equal(before, frames(root))


def test_a_short_and_a_long_line_do_not_make_up_for_each_other(root, plan):
    run_all(root, plan)
    lines = (root / "metrics.csv").read_text().splitlines(keepends=True)
    lines[2] = lines[2].rstrip("\n").rpartition(",")[0] + "\n"
    lines[4] = lines[4].rstrip("\n") + ",0.5\n"
    (root / "metrics.csv").write_text("".join(lines))
    with pytest.raises(RecordsError, match=r"metrics\.csv:(3: 9|5: 11) cells, where the header has 10"):
        read_metrics(root)


def test_lines_longer_than_a_block_are_read(root, plan, monkeypatch):
    """The check of the lines goes block by block; lines lie across their ends."""
    run_all(root, plan)
    expected = frames(root)
    monkeypatch.setattr("normbench.records.frames._BLOCK", 7)
    assert_equal(expected, frames(root))


def test_a_file_that_pandas_saved_again_is_read(root, plan):
    run_all(root, plan)
    before = frames(root)
    pd.read_csv(root / "runs.csv", dtype={"run_id": str, "stack": str}).to_csv(root / "runs.csv", index=False)
    assert ",15.0," in (root / "runs.csv").read_text()
    assert_equal(before, frames(root))
    assert_equal(before, frames(torn(root, root.parent / "torn")))
    assert folder_status(root).statuses["finished"] == 8
