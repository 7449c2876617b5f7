"""Links in a results folder: what they point to is never written, emptied or removed."""

from __future__ import annotations

import pytest
from helpers.records_folder import CONFIG, end, merged, run_all, stacks_of, train, tree

from normbench.errors import RecordsError
from normbench.launch.checkpoints import Checkpoints
from normbench.records import ResultsFolder, write_csv
from normbench.records.files import TEMPORARY, own_folder


@pytest.fixture
def foreign(tmp_path):
    """A folder of somebody else, with names that normbench uses too."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name in ("thesis.tex", "package.json", "best.pt", "00000000.pt", "00000000.json", "1.txt"):
        (folder / name).write_text(f"precious {name}\n")
    return folder


@pytest.mark.parametrize("name", ["checkpoints", "parts", "plots", "plugins", "crashes", "old", "plugins/a"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_to_a_folder_is_refused_and_named(root, plan, foreign, name, dangling):
    run_all(root, plan)
    target = foreign / "none" if dangling else foreign
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(target)
    before = tree(foreign)
    with pytest.raises(RecordsError, match="is a link to") as error:
        own_folder(root / name)
    assert str(root / name) in str(error.value)
    assert str(target) in str(error.value)
    if not dangling:
        with pytest.raises(RecordsError, match="is a link to"):
            run_all(root, plan)
    assert tree(foreign) == before
    assert not (foreign / "none").exists()


@pytest.mark.parametrize("name", ["checkpoints", "parts", "crashes"])
def test_a_link_made_while_training_is_refused(root, plan, foreign, name):
    stack = stacks_of(plan)[0]
    before = tree(foreign)
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        checkpoints = Checkpoints(folder, None)
        if name != "parts":
            writer = folder.writer(stack)
        (root / name).symlink_to(foreign)
        acts = {
            "parts": lambda: folder.writer(stack),
            "crashes": lambda: writer.write(end(stack.runs[0], "crashed", 1, stack, error="boom")),
            "checkpoints": lambda: checkpoints.save(stack, b"state", writer),
        }
        with pytest.raises(RecordsError, match="is a link to"):
            acts[name]()
        if name == "checkpoints":
            for act in (lambda: checkpoints.remove("00000000"), lambda: checkpoints.keep_only([])):
                with pytest.raises(RecordsError, match="is a link to"):
                    act()
        (root / name).unlink()
    assert tree(foreign) == before


@pytest.mark.parametrize("name", ["run.lock", "config.yaml", "runs.csv", "metrics.csv", "environment.json"])
@pytest.mark.parametrize("ending", ["", ".tmp", TEMPORARY])
def test_a_link_to_a_file_is_replaced_or_left(root, plan, foreign, expected, name, ending):
    root.mkdir(parents=True)
    target = foreign / "thesis.tex"
    if not ending and name.endswith(".csv"):
        run_all(root, plan)
        target.write_bytes((root / name).read_bytes())
        (root / name).unlink()
    (root / f"{name}{ending}").symlink_to(target)
    before = tree(foreign)
    run_all(root, plan)
    assert tree(foreign) == before
    assert merged(root) == expected
    if ending == "" and name != "environment.json":  # no session began
        assert not (root / name).is_symlink()


@pytest.mark.parametrize("ending", ["", ".tmp", TEMPORARY])
def test_the_verdicts_do_not_go_through_a_link(root, foreign, ending):
    root.mkdir(parents=True)
    (root / f"claims.csv{ending}").symlink_to(foreign / "thesis.tex")
    before = tree(foreign)
    write_csv(root / "claims.csv", ["id"], [["a"]])
    assert tree(foreign) == before
    assert (root / "claims.csv").read_text() == "id\na\n"
    assert not (root / "claims.csv").is_symlink()


def test_a_link_for_the_lock_is_refused(root, plan, foreign):
    root.mkdir(parents=True)
    (root / ".lock").symlink_to(foreign / "thesis.tex")
    before = tree(foreign)
    with pytest.raises(RecordsError, match=r"\.lock: is a link to"):
        run_all(root, plan)
    assert tree(foreign) == before


@pytest.mark.parametrize("table", ["metrics", "runs", "layers"])
def test_a_part_that_became_a_link_is_not_cut(root, plan, foreign, table):
    stack = stacks_of(plan)[0]
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stack, upto=8)
        path = root / "parts" / f"{stack.stack_id}.{table}.csv"
        target = foreign / "thesis.tex"
        header = b"run_id,step,layer,quantity,value\n"
        target.write_bytes((path.read_bytes() if path.exists() else header) + b"more")
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        before = tree(foreign)
        with pytest.raises(RecordsError, match="is a link to"):
            folder.writer(stack, lengths={table: target.stat().st_size - 2})
        path.unlink()
    assert tree(foreign) == before


def test_only_files_of_normbench_are_removed(root, plan, expected):
    run_all(root, plan)
    mine = [
        "notes.tmp",
        "parts/package.json",
        "parts/notes.csv",
        "parts/settings.json",
        "parts/a1b2c3d4.json",
    ]
    mine += ["checkpoints/best.pt", "checkpoints/notes.txt", "checkpoints/model.pt.tmp"]
    for name in mine:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("{}")
    for name in ("checkpoints/0123abcd.pt", f"checkpoints/0123abcd.pt{TEMPORARY}", f"runs.csv{TEMPORARY}"):
        (root / name).write_text("left by a killed process")
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        Checkpoints(folder, None).keep_only([])
        folder.merge()
    assert merged(root) == expected
    assert {name for name in tree(root) if "/" in name or name.endswith("tmp")} == set(mine)
    assert all((root / name).read_text() == "{}" for name in mine)
