"""Paths that a user writes: expanded, found in either form of Unicode, broken links named."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

import normbench
from normbench.config import load_config
from normbench.data import dataset_info, load
from normbench.data.image_folder import ImageFolder
from normbench.data.root import data_root
from normbench.errors import ConfigError, DataError, NormbenchError, RecordsError
from normbench.paths import broken_link, expanded, on_disk
from normbench.records import experiments_in

COMPOSED = unicodedata.normalize("NFC", "K\u00f6ln-\u00e9t\u00e9")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
FORMS = pytest.mark.parametrize(("there", "asked"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("~/data", "home/data"),
        ("$SCRATCH/data", "scratch/data"),
        ("${SCRATCH}/data", "scratch/data"),
        ("data", "data"),
        ("./data", "data"),
    ],
)
def test_the_data_root_is_expanded_and_absolute(home, monkeypatch, written, full):
    monkeypatch.setenv("NORMBENCH_DATA", written)
    for root in (data_root(written), data_root(None, written), data_root(None, Path(written)), data_root()):
        assert root == home / full
    with pytest.raises(DataError) as caught:
        dataset_info(ImageFolder(root=written))
    assert str(home / full) in str(caught.value)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: data_root("$NOWHERE_AT_ALL/x"), "data.root"),
        (lambda: data_root(None, "$NOWHERE_AT_ALL/x"), "--data-dir"),
        (lambda: normbench.load("$NOWHERE_AT_ALL/x"), "results"),
        (lambda: load_config("$NOWHERE_AT_ALL/x"), "config"),
    ],
)
def test_a_variable_that_is_not_set_is_named(call, where):
    with pytest.raises(NormbenchError) as caught:
        call()
    assert str(caught.value).startswith(f"{where}: the variable $NOWHERE_AT_ALL in '$NOWHERE_AT_ALL/x'")


def test_the_home_of_nobody_is_named():
    with pytest.raises(NormbenchError, match="x: '~nobody-of-this-name/y' is below a home folder"):
        expanded("~nobody-of-this-name/y", "x")


def test_a_file_whose_name_has_these_characters_is_taken_as_it_is(home):
    for name in ("~", "$A"):
        (home / name).mkdir()
        assert expanded(name, "x") == Path(name)


@FORMS
def test_both_forms_of_a_name_are_the_same_file(tmp_path, there, asked):
    (tmp_path / there / "inner").mkdir(parents=True)
    assert on_disk(tmp_path / asked / "inner").samefile(tmp_path / there / "inner")
    assert on_disk(tmp_path / asked / "none") == tmp_path / asked / "none"
    assert on_disk(tmp_path / "other\u00e9") == tmp_path / "other\u00e9"


@FORMS
def test_configs_results_and_data_are_found_in_both_forms(tmp_path, there, asked):
    (tmp_path / there).mkdir()
    (tmp_path / there / "x.yaml").write_text("name: x\ndata: digits\nmodel: mlp\n", encoding="utf-8")
    assert load_config(tmp_path / asked / "x.yaml").name == "x"
    (tmp_path / there / "runs.csv").touch()
    assert experiments_in(tmp_path / asked)[0].samefile(tmp_path / there)
    assert data_root(str(tmp_path / asked)).samefile(tmp_path / there)


def images(root, names, parts=("train", "test")):
    for part in parts:
        for shade, name in enumerate(names):
            (root / part / name).mkdir(parents=True)
            for number in range(2):
                Image.new("L", (4, 4), 90 * shade).save(root / part / name / f"{number}.png")


@FORMS
def test_classes_are_matched_in_both_forms(tmp_path, there, asked):
    images(tmp_path, ["a", there, "z"], ["train"])
    images(tmp_path, ["a", asked, "z"], ["test"])
    found = load(ImageFolder(root=str(tmp_path), batch_size=2, color="grey", standardize="none"), tmp_path)
    shade = {name: 90 * place / 255 for place, name in enumerate(("a", there, "z"))}
    for split in (found.train, found.test):
        assert split.y.bincount().tolist() == [2, 2, 2]
        for image, label in zip(split.x, split.y.tolist(), strict=True):
            assert image.mean().item() == pytest.approx(shade[found.class_names[label]])


def test_two_forms_of_one_class_are_refused(tmp_path):
    images(tmp_path, ["a", COMPOSED])
    if any((tmp_path / part / DECOMPOSED).exists() for part in ("train", "test")):
        pytest.skip("this file system takes both forms for one name")
    images(tmp_path, [DECOMPOSED])
    with pytest.raises(DataError, match="has two folders"):
        dataset_info(ImageFolder(root=str(tmp_path)))


@pytest.mark.parametrize("link", ["", "train", "train/b", "train/a/5.png"])
def test_broken_links_are_named(tmp_path, link):
    root = tmp_path / "data"
    if link:
        images(root, ["a", "b"])
    if link in ("train", "train/b"):
        (root / link).rename(tmp_path / "moved")
    (root / link).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError) as caught:
        dataset_info(ImageFolder(root=str(root)))
    assert f"{root / link} is a link to {tmp_path / 'gone'}, which is not there" in str(caught.value)


def test_broken_links_to_configs_and_results_are_named(tmp_path):
    (tmp_path / "x").symlink_to("gone")
    assert broken_link(tmp_path) is None
    for call, error in ((load_config, ConfigError), (experiments_in, RecordsError)):
        with pytest.raises(error, match="x is a link to gone, which is not there"):
            call(tmp_path / "x")


def test_messages_about_results_have_the_absolute_path(home):
    with pytest.raises(RecordsError) as caught:
        experiments_in("results/none")
    assert str(home / "results" / "none") in str(caught.value)
