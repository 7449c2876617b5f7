"""Run ids and stack ids of the shipped configs stay as they are, so that old results folders still fit.

`shipped_ids.json` holds, for each config, its number of runs, a SHA-256 over their ids in order, and its
stacks with their executors on a CPU. All are as versions up to 0.2 wrote them, so that the file keeps meaning
the same runs: new results spell some ids in another way (`planning/run_id.py`).

To add a new config, or after a deliberate change of ids, run this file:
`python tests/planning/test_shipped_ids.py`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from normbench.config import load_config
from normbench.planning.plan import make_plan

CONFIGS = Path(__file__).parents[2] / "configs"
COMMITTED = Path(__file__).with_name("shipped_ids.json")
NAMES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
HOW_TO = "run `python tests/planning/test_shipped_ids.py` and commit shipped_ids.json"


def ids_of(name: str) -> dict[str, Any]:
    plan = make_plan(load_config(CONFIGS / name), device="cpu")
    plan = plan.with_older_ids({run_id for run in plan.runs for run_id in run.older})
    ids = [run.run_id for run in plan.runs]
    return {
        "runs": len(ids),
        "sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        "stacks": [f"{stack.stack_id} {stack.executor}" for stack in plan.stacks],
    }


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_ids_of_a_shipped_config_are_the_committed_ones(name: str, committed: dict[str, Any]) -> None:
    assert name in committed, f"configs/{name} is new: {HOW_TO}"
    found, before = ids_of(name), committed[name]
    assert (found["runs"], found["sha256"]) == (before["runs"], before["sha256"]), (
        f"the run ids of configs/{name} changed, so old results folders no longer fit; if intended, {HOW_TO}"
    )
    assert found["stacks"] == before["stacks"], f"the stacks of configs/{name} changed; if intended, {HOW_TO}"


def test_every_committed_config_is_still_shipped(committed: dict[str, Any]) -> None:
    gone = sorted(set(committed) - set(NAMES))
    assert not gone, f"no longer in configs/: {gone}; {HOW_TO}"


if __name__ == "__main__":
    text = json.dumps({name: ids_of(name) for name in NAMES}, indent=1)
    COMMITTED.write_text(text + "\n", encoding="utf-8")
