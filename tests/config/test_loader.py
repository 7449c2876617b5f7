# ruff: noqa: E501  (tables with one case in a line)
import contextlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.config import loader
from normbench.config.loader import MAX_BYTES, parse, read_text
from normbench.config.problems import Problems, Where
from normbench.errors import ConfigError

PARSERS = [yaml.SafeLoader] + ([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__, autouse=True)
def both_parsers(request, monkeypatch):
    monkeypatch.setattr(loader, "_Parser", request.param)


def load(text):
    problems = Problems()
    node = parse(text, Where("a.yaml", 1, 1), problems)
    problems.raise_if_any()
    return node


def complaint(text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("1E+2", 100.0), ("-.5", -0.5), ("2.", 2.0), ("+3", 3), ("-7", -7), ("010", 10),
        ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"),
        ("none", "none"), ("None", "None"), ("null", None), ("~", None), ("''", ""), ("", None),
        ("'1e-3'", "1e-3"), ('"true"', "true"), ("2020-01-01", "2020-01-01"), ("1:30", "1:30"),
        ("1_000", "1_000"), ("0x10", "0x10"), ("1e", "1e"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text, value):
    got = load(f"key: {text}").plain["key"]
    assert got == value
    assert type(got) is type(value)


def test_positions_are_kept_at_any_depth():
    node = load("a:\n  - {b: 1,\n     c: [x, y]}\n")
    inner = node.mapping["a"].items[0]
    assert str(inner.mapping["c"].items[1].where) == "a.yaml:3:13"
    assert str(inner.key_where("c")) == "a.yaml:3:6"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: 1\nb: 2\na: 3", "a.yaml:3:1: a: given twice, first at line 1"),
        ("a: {b: 1, b: 2}", "a.yaml:1:11: a.b: given twice"),
        ("a: !!python/object/apply:os.system [ls]", "a.yaml:1:4: a: the tag '!!python/object/apply:os.system'"),
        ("a: !x 1", "the tag '!x' is refused"),
        ("a: !!str 1", "the tag '!!str' is refused"),
        ("! a: 1", "a key has a tag"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "the merge key '<<' is refused"),
        ("a: &x [*x]", "contains itself"),
        ("a: &x {b: {c: *x}}", "contains itself"),
        ("a: *x", "x"),
        ("? [a, b]\n: 1", "keys are words"),
        ("--- 1\n--- 2", "second YAML document"),
        ("a: .inf", "not a finite number"),
        ("a: -.Inf", "not a finite number"),
        ("a: .nan", "not a finite number"),
        ("a: 1e999", "too large"),
        ("a: " + "9" * 5000, "too large for a whole number"),
        ("a: [1, 2", "not YAML"),
        ("a:\n\t- 1", "not YAML"),
        ("a: \x00", "not YAML"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper"),
        ("a: " + "[" * 300_000, "nested deeper"),
        ("- [" + "1, " * 120_000 + "]", "more than 100,000 values"),
    ],
)  # fmt: skip
def test_what_is_refused(text, part):
    message = complaint(text)
    assert part in message
    assert message.startswith("a.yaml:")
    assert len(message) < 1000


def test_an_alias_bomb_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "more than 100,000 values once its aliases are written out" in complaint("\n".join(lines))


def test_nesting_through_aliases_is_bounded():
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 100)]
    assert "nested deeper" in complaint("\n".join(lines))


def test_plain_aliases_work():
    assert load("a: &x [1, 2]\nb: *x").plain == {"a": [1, 2], "b": [1, 2]}


def test_several_problems_come_together_in_order():
    assert [line.split(": ")[0] for line in complaint("a: !x .inf\nb: 1\nb: 2").splitlines()] == [
        "a.yaml:1:4",
        "a.yaml:3:1",
    ]


def test_unreadable_files(tmp_path):
    cases = {
        "missing.yaml": "cannot be read (No such file",
        "latin.yaml": "latin.yaml:2:4: byte 0xe9 is not UTF-8",
        "big.yaml": "larger than",
        ".": "found a folder",
        "nul\0.yaml": "cannot be read",
    }
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9")
    (tmp_path / "big.yaml").write_bytes(b"a" * (MAX_BYTES + 1))
    for name, part in cases.items():
        with pytest.raises(ConfigError, match=r"yaml|folder") as caught:
            read_text(f"{tmp_path}/{name}")
        assert part in str(caught.value)


def test_a_byte_order_mark_is_no_key(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: x")
    assert read_text(tmp_path / "a.yaml") == "name: x"


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


YAMLISH = st.lists(
    st.sampled_from([*"[]{}:,-?&*!|>'\"%@`#\n \t", "a", "1e-3", "<<", ": ", "- ", "&x", "*x", "!!str ", "---\n", "\\ud800"]),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=2000)
@given(st.one_of(YAMLISH, st.text(max_size=60)))
def test_any_text_gives_plain_data_or_one_error(text):
    for parser in PARSERS:
        loader._Parser = parser
        with contextlib.suppress(ConfigError):
            assert _is_plain(load(text).plain)


@settings(max_examples=150, deadline=2000)
@given(st.binary(max_size=80))
def test_any_bytes_give_plain_data_or_one_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        assert _is_plain(load(read_text(path)).plain)
