"""Any bytes in any file of a results folder: a reader returns what it can, or raises one NormbenchError."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
import torch
import yaml
from helpers.fuzz_bounds import note, tried
from helpers.fuzz_inputs import edited, edits, odd_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normbench import api
from normbench.analysis.summary import summary_rows
from normbench.analysis.tables import Tables, load_layers, load_tables, seeds_of
from normbench.analysis.verify import verify
from normbench.engine.checkpoint import FORMAT, UnfitError, load_state
from normbench.errors import NormbenchError
from normbench.launch.session import Finished
from normbench.records import folder_status, read_layers, read_metrics, read_runs
from normbench.records.lock import holder_of

CONFIG = """
name: x
seeds: 1
data: {name: digits, train_size: 100, test_size: 20, batch_size: 20}
model: {name: mlp, depth: 1, width: 4}
train: {steps: 150, eval_every: 5}
sweep: {model.norm: [none, batchnorm], optimizer.lr: [0.1, 1, 1.0e+30]}
claims:
  - {id: a, statement: BN trains at larger rates, measure: max_stable_lr, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {ratio_at_least: 3}}
  - {id: b, statement: faster, measure: {name: steps_to_target, target: 0.9}, of: {model.norm: batchnorm},
     against: {model.norm: none}, expect: {ratio_at_most: 0.9}}
"""
FILES = [
    "runs.csv", "metrics.csv", "layers.csv", "config.yaml", "environment.json", "looks.csv", "run.lock",
    "parts/STACK.metrics.csv", "parts/STACK.runs.csv", "parts/STACK.layers.csv", "parts/STACK.json",
    "checkpoints/STACK.pt",
]  # fmt: skip
READERS = [read_runs, read_metrics, read_layers, folder_status, holder_of]
short = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep that stopped in its second stack: merged files, parts and a checkpoint."""
    root = tmp_path_factory.mktemp("sweep")
    (root / "x.yaml").write_text(CONFIG)
    asked = iter(range(10))
    api.run(
        root / "x.yaml", results=root, device="cpu", threads=1, should_stop=lambda: next(asked, None) is None
    )
    stacks = {path.name.split(".")[0] for path in (root / "x/parts").iterdir()}
    assert len(stacks) == 1
    (root / "x/layers.csv").write_text("run_id,step,layer,quantity,value\n")
    return root, stacks.pop()


def read_all(folder: Path) -> None:
    for reader in READERS:
        found = tried(reader, folder)
        if isinstance(found, NormbenchError):
            assert str(folder) in str(found), found
    for reader in (load_tables, verify):
        found = tried(reader, folder)
        if isinstance(found, NormbenchError):
            assert str(folder) in str(found), found
        elif reader is load_tables:
            tried(show, found)


def show(tables: Tables) -> None:
    """Read everything from the tables that a figure, a verdict or a terminal table reads."""
    assert tables.title
    assert tables.steps
    assert tables.trains_below > 0
    assert len(seeds_of(tables)) <= 10_000
    summary_rows(tables)
    load_layers(tables)


@pytest.mark.thorough
@short
@given(
    name=st.sampled_from(FILES),
    new=st.none() | st.binary(max_size=60),
    changes=edits(),
    other=st.none() | st.sampled_from(["runs.csv", "metrics.csv", "parts", "config.yaml"]),
)
def test_any_bytes_in_any_file_are_read_or_refused_in_a_sentence(tmp_path, sweep, name, new, changes, other):
    """`other` is deleted, too. Then the folder is read and trained; both work or give a sentence."""
    note(f"any bytes in {name.replace('STACK', '<stack>')}")
    root, stack = sweep
    folder = tmp_path / "x"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "x", folder)
    path = folder / name.replace("STACK", stack)
    path.write_bytes(edited(path.read_bytes() if path.exists() else b"", changes) if new is None else new)
    if other is not None:
        shutil.rmtree(folder / other) if (folder / other).is_dir() else (folder / other).unlink()
    read_all(folder)
    found = tried(
        api.run, root / "x.yaml", results=tmp_path, device="cpu", threads=1, should_stop=lambda: True
    )
    assert isinstance(found, (Finished, NormbenchError))
    assert not (folder / "run.lock").exists() or isinstance(found, NormbenchError)


pickles = st.sampled_from(
    [b"", b"\x80\x02.", b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.", b"(" * 5000, b"\x80\x02]q\x00(h\x00h\x00e."]
)


@short
@given(
    body=pickles | odd_bytes,
    lengths=st.sampled_from(
        [b"{}", b'{"metrics": 1}', b"[]", b"1", b'{"a": "b"}', b"[" * 3000, b'{"a": 1e999}', b"\xff"]
    ),
    zipped=st.booleans(),
    changes=st.none() | edits(),
)
def test_a_checkpoint_with_a_right_checksum_and_any_content_is_unfit(sweep, body, lengths, zipped, changes):
    """The checksum protects from accidents; torch's `weights_only` protects from files made on purpose."""
    note("a checkpoint with a right checksum and any content")
    root, _ = sweep
    if changes is not None:
        (path,) = (root / "x/checkpoints").iterdir()
        content = edited(path.read_bytes().partition(b"\n")[2], changes)
    else:
        if zipped:
            archive = BytesIO()
            with zipfile.ZipFile(archive, "w") as file:
                file.writestr("archive/data.pkl", body)
                file.writestr("archive/version", "3\n")
                file.writestr("archive/byteorder", "little")
            body = archive.getvalue()
        content = lengths + b"\n" + body
    data = b"%s %08x\n" % (FORMAT, zlib.crc32(content)) + content

    def load() -> object:
        try:
            return load_state(data, ["a"], "looped", torch.device("cpu"))
        except UnfitError as error:
            return error

    found = tried(load)
    assert isinstance(found, UnfitError), found
    assert str(found)


@pytest.mark.parametrize("name", [name for name in FILES if "STACK" not in name or name.endswith("json")])
@pytest.mark.parametrize(
    "kind", ["one long line", "many lines", "deep", "zeros", "a folder", "a link to itself"]
)
def test_no_file_takes_more_than_its_share_of_time_and_memory(tmp_path, sweep, name, kind):
    note(f"a file of the records: {kind}")
    root, stack = sweep
    folder = tmp_path / "x"
    shutil.copytree(root / "x", folder)
    path = folder / name.replace("STACK", stack)
    path.unlink(missing_ok=True)
    if kind == "one long line":
        path.write_bytes(b"a," * 4_000_000)
    elif kind == "many lines":
        path.write_bytes(b"a,1\n" * 1_000_000)
    elif kind == "deep":
        path.write_bytes(b"[" * 1_000_000)
    elif kind == "zeros":
        path.touch()
        os.truncate(path, 3 << 30)  # a hole: takes no room on the disk
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    read_all(folder)


def test_the_readers_of_json_and_yaml_are_not_blown_up(tmp_path, sweep):
    note("a config.yaml of the records that expands without end")
    root, _ = sweep
    folder = tmp_path / "x"
    shutil.copytree(root / "x", folder)
    laughs = "a: &a [x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
    )
    (folder / "config.yaml").write_text(laughs)
    (folder / "environment.json").write_text(json.dumps({"sessions": [[]] * 1000}))
    assert yaml.compose(laughs) is not None  # a valid file, to a parser
    read_all(folder)
