"""Verdicts: made once, kept, made again for what has changed; and what the plan says of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from helpers.gallery import PIECES

from normbench import api, plugins
from normbench.errors import PlanError
from normbench.fidelity import check, kept

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    with plugins.unchanged():
        yield


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(kept.ENVIRONMENT, str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "_known", {})


@pytest.fixture
def judged(monkeypatch) -> list[object]:
    """Return a list that grows with each check."""
    cases: list[object] = []
    judge = check.judge

    def noting(case, executors):
        cases.append(case)
        return judge(case, executors)

    monkeypatch.setattr(check, "judge", noting)
    return cases


def copied(name: str, folder, old: str = "", new: str = ""):
    path = folder / f"{name}.py"
    text = PIECES[name].path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text)
    return path


def plan(path, tmp_path, overrides=(), executor="auto"):
    config = tmp_path / "c.yaml"
    if not config.exists():
        config.write_text(PIECES[path.stem].config("optimizer" if "optimizer" in path.stem else "norm"))
    return api.plan(config, overrides, plugins=[path], device="cpu", executor=executor)


def test_a_verdict_is_kept_for_this_process_and_the_next(tmp_path, judged, monkeypatch):
    path = copied("item", tmp_path)
    (note,) = plan(path, tmp_path).notes
    assert len(judged) == 1  # the two rates share it
    assert plan(path, tmp_path).notes == [note]
    monkeypatch.setattr(kept, "_known", {})  # as in another process
    assert plan(path, tmp_path).notes == [note]
    assert len(judged) == 1
    assert "item.py:" in note
    assert "'eager'" in note


def test_a_changed_plugin_is_checked_again(tmp_path, judged):
    with plugins.unchanged():
        plan(copied("item", tmp_path), tmp_path)
    with plugins.unchanged():
        assert plan(copied("item", tmp_path, ".item()", ""), tmp_path).notes == []
    assert len(judged) == 2


def test_a_fault_is_looked_at_again_in_another_process(tmp_path, judged, monkeypatch):
    path = copied("counter_attribute", tmp_path)
    for known in range(2):
        with pytest.raises(PlanError, match=r"counter_attribute.py:\d+"):
            plan(path, tmp_path)
        assert len(judged) == known + 1
        monkeypatch.setattr(kept, "_known", {})
    assert not kept.folder().exists()


def test_a_broken_file_of_the_cache_is_no_verdict(tmp_path, judged, monkeypatch):
    path = copied("item", tmp_path)
    plan(path, tmp_path)
    (file,) = kept.folder().iterdir()
    file.write_text("{")
    monkeypatch.setattr(kept, "_known", {})
    plan(path, tmp_path)
    assert len(judged) == 2


def test_options_that_differ_within_a_stack_have_verdicts_of_their_own(tmp_path, judged):
    """Guards against a decay of 0 whose verdict lets an update pass that reads another decay wrong."""
    path = copied("optimizer_own_option", tmp_path)
    config = yaml.safe_load(PIECES[path.stem].config("optimizer"))
    config["optimizer"].pop("weight_decay")
    config["sweep"] = {"optimizer.weight_decay": [0.0, 0.1]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(PlanError, match=r"reads `self.weight_decay` in `update`.*\(1 cell\)"):
        plan(path, tmp_path)
    assert len(judged) == 2


def test_cells_of_one_stack_take_the_slowest_executor_that_one_needs(tmp_path, monkeypatch):
    path = copied("frozen_parameter", tmp_path)
    config = yaml.safe_load(PIECES[path.stem].config("norm"))
    config["sweep"] = {"model.init.gain": [1.0, 0.5, 2.0]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    verdicts = {1.0: "vectorized", 0.5: "eager", 2.0: "looped"}
    monkeypatch.setattr(
        check, "judge", lambda case, names: check.Verdict(verdicts[case.settings.model.init.gain])
    )
    (stack,) = plan(path, tmp_path).stacks
    assert stack.executor == "eager"


def test_an_executor_that_is_asked_for_must_be_right(tmp_path):
    path = copied("item", tmp_path)
    with pytest.raises(
        PlanError, match=r"item.py:\d+: it reads a number .*without --executor others are tried"
    ):
        plan(path, tmp_path, executor="looped")
    assert {stack.executor for stack in plan(path, tmp_path, executor="eager").stacks} == {"eager"}


def test_one_line_for_all_cells_with_one_fault(tmp_path):
    path = copied("returns_none", tmp_path)
    with pytest.raises(PlanError) as caught:
        plan(path, tmp_path, ["sweep.optimizer.lr=[0.1, 0.2, 0.3, 0.4]"])
    head, line = str(caught.value).splitlines()
    assert head == "plug-ins that cannot be trained as they are written:"
    assert line.endswith("(4 cells)")


def test_a_layer_for_vectors_hears_what_images_look_like(tmp_path):
    path = copied("gain_of_images", tmp_path, "torch.ones(1, features, 1, 1)", "torch.ones(features)")
    with pytest.raises(PlanError) as caught:
        plan(path, tmp_path, ["model.width=4"])
    said = str(caught.value)
    assert "gain_of_images.py:" in said
    assert (
        "Layer (hidden.0.norm) got (32, 4, 8, 8) float32: images, features in dimension 1; a parameter"
        in said
    )
