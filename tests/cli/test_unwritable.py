"""Full and read-only disks while figures and verdicts are written: what is known is printed, exit code 2."""

import errno
import json
import os

import pytest
from helpers.cli import CONFIG, call, config_file
from helpers.synthetic import RATES, write_results

from normbench import plots
from normbench.analysis.verify import verify
from normbench.errors import RecordsError
from normbench.records.files import TEMPORARY

CLAIM = {
    "id": "C1",
    "statement": "Batch normalization allows larger rates.",
    "measure": "max_stable_lr",
    "expect": {"ratio_at_least": 3},
    "of": {"model.norm": "batchnorm"},
    "against": {"model.norm": "none"},
}
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES}
    return write_results(tmp_path_factory.mktemp("judged") / "judged", axes=axes, claims=[CLAIM])


@pytest.fixture
def broken(monkeypatch):
    """Return a function that makes the disk refuse files with a name from now on."""

    def after(code, named):
        def opened(path, *args, real=os.open, **options):
            if str(path).endswith(TEMPORARY) and named in str(path):
                raise OSError(code, os.strerror(code), str(path))
            return real(path, *args, **options)

        monkeypatch.setattr(os, "open", opened)

    return after


def one_sentence(result, *parts):
    assert result.exit_code == 2, result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("code", ERRORS)
def test_plot_prints_what_it_drew_and_names_out(folder, broken, code):
    broken(code, ".svg")
    result = call("plot", folder, "--figure", "largest_rate")
    one_sentence(result, "largest_rate.svg: the figure cannot be written", os.strerror(code), "--out DIR")
    assert result.stdout.split() == [str(folder / "plots" / "largest_rate.png")]


@pytest.mark.parametrize("place", ["file", "below_a_file", "null_device", "long", "folder_with_its_name"])
def test_a_place_that_cannot_be_made(folder, tmp_path, place):
    (tmp_path / "file").write_text("x")
    (tmp_path / "d" / "largest_rate.png").mkdir(parents=True)
    out = {
        "file": tmp_path / "file",
        "below_a_file": tmp_path / "file" / "plots",
        "null_device": os.devnull,
        "long": tmp_path / ("x" * 300),
        "folder_with_its_name": tmp_path / "d",
    }[place]
    one_sentence(call("plot", folder, "--figure", "largest_rate", "--out", out), str(out), "--out DIR")
    assert (tmp_path / "file").read_text() == "x"


def test_a_file_where_the_plots_go(folder, tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES}
    own = write_results(tmp_path / "own", axes=axes)
    (own / "plots").write_text("mine")
    one_sentence(call("plot", own, "--figure", "largest_rate"), "cannot be written", f"plot {own} --out DIR")
    assert call("plot", own, "--figure", "largest_rate", "--out", tmp_path / "o").exit_code == 0
    assert (own / "plots").read_text() == "mine"


def test_the_library_raises_the_same_sentence(folder, broken):
    broken(errno.EROFS, ".png")
    with pytest.raises(RecordsError, match="--out DIR"):
        plots.plot_results(folder, ["largest_rate"])


@pytest.mark.parametrize("code", ERRORS)
def test_verify_prints_its_verdicts(folder, broken, code):
    (expected,) = verify(folder, write=False).verdicts
    broken(code, "claims.csv")
    result = call("verify", folder)
    one_sentence(result, "claims.csv: cannot be written", os.strerror(code), "--json > FILE")
    assert expected.verdict in result.stdout
    assert "not written" in result.stdout
    as_json = call("verify", folder, "--json")
    one_sentence(as_json, "claims.csv: cannot be written")
    assert [one["verdict"] for one in json.loads(as_json.stdout)] == [expected.verdict]
    assert not (folder / "claims.csv").exists()
    with pytest.raises(RecordsError, match=r"claims\.csv: cannot be written"):
        verify(folder)


def test_the_figures_of_run(tmp_path, broken):
    text = CONFIG.replace("seeds: 2", "seeds: 1").replace("[0.1, 1]", "[0.1]")
    config = config_file(tmp_path, text)
    broken(errno.ENOSPC, ".png")
    result = call("run", config, "--results", tmp_path / "r", "--threads", 1)
    one_sentence(result, os.strerror(errno.ENOSPC), f"normbench plot {tmp_path / 'r' / 'tiny'} --out DIR")
    assert "batchnorm" in result.stdout  # the table
    assert "Numbers in" in result.stdout
