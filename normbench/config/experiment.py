"""From a config file to an experiment: every cell with its validated settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from normbench.config.cells import Cell, construct, section_options
from normbench.config.claims import check_claims, check_decide, check_groups
from normbench.config.explain import validate
from normbench.config.full_names import with_full_names
from normbench.config.given import Plain, read_config_tree
from normbench.config.grid import build_grid
from normbench.config.hints import SWEEP_WORDS, missing_space, note_epochs, unknown_key
from normbench.config.keys import Path, expand, is_section, kinds
from normbench.config.loader import parse, scalar
from normbench.config.nodes import Node, build
from normbench.config.overrides import apply_overrides
from normbench.config.problems import Problems, Where, shown
from normbench.config.schema import SECTIONS, Config, Decide, Header, Settings
from normbench.config.sweep import Sweep, parse_sweep
from normbench.measures.claim import Claim
from normbench.probes import Probe


@dataclass(frozen=True)
class Experiment:
    """A config that is read, checked and resolved."""

    name: str
    title: str | None
    seeds: list[int]
    settings: Settings  # the base: the config without its sweep
    cells: list[Cell]  # in the order of the file, the first axis slowest
    columns: tuple[str, ...]  # the swept columns of the records
    raw: dict[str, Any]  # plain data, defaults filled in: what `config.yaml` holds
    claims: list[Claim]
    probes: list[Probe]
    decide: Decide | None  # how `run` adds seeds until claims are decided; None: it adds none
    merged: list[str]  # sentences: which cells are equal after resolving
    warnings: list[str]


def load_config(config: Plain | Experiment, overrides: Sequence[str] = ()) -> Experiment:
    """Return the experiment that a config describes, with `KEY=VALUE` overrides applied.

    Args:
        config: path of a YAML file, a mapping as such a file would have it, a `Config`, or an experiment.
        overrides: as for `--set`.

    Raises:
        ConfigError: one line for each problem, `file:line:column: key: found; allowed`. Where the config is
            no file, `config: key: found; allowed`.
    """
    problems = Problems()
    return _experiment(_root_of(config, problems), overrides, problems)


def _root_of(config: Plain | Experiment, problems: Problems) -> Node:
    return read_config_tree(config.raw if isinstance(config, Experiment) else config, problems)


def cells_of(config: Mapping[str, Any], source: str) -> tuple[list[Cell], list[str]]:
    """Return the cells of a recorded config, and what this version cannot build of it, such as plug-ins.

    Its claims, seeds and probes are not looked at.

    Args:
        config: plain data, as in `config.yaml`.
        source: stands for the file in messages.
    """
    problems = Problems()
    own = {key: config[key] for key in (*SECTIONS, "sweep") if key in config}
    root = _complete(with_full_names(expand(build(own, Where(source, 1, 1)), Settings)), problems)
    sweep_node = root.get("sweep")
    sweep = parse_sweep(sweep_node, problems) if sweep_node else None
    base = Node({name: root.mapping[name] for name in SECTIONS}, root.where, root.keys)
    return build_grid(base, sweep, problems).cells, problems.texts()


def config_name(config: Plain | Experiment, overrides: Sequence[str] = ()) -> str | None:
    """Return the name of an experiment whose other settings may not be known yet; None if it has none."""
    problems = Problems()
    root = _root_of(config, problems)
    if not isinstance(root.value, dict):
        return None
    node = apply_overrides(expand(root, Settings), overrides, problems).get("name")
    header = validate(Header, Node({"name": node}, root.where), problems) if node else None
    return header.name if header else None


def parse_config(text: str, source: str = "config", overrides: Sequence[str] = ()) -> Experiment:
    """Return the experiment that a YAML text describes; `source` stands for the file in messages."""
    problems = Problems()
    return _experiment(parse(text, Where(source, 1, 1), problems), overrides, problems)


def _experiment(root: Node, overrides: Sequence[str], problems: Problems) -> Experiment:
    """Return the experiment of a tree; `problems` has what was wrong with its text."""
    if not isinstance(root.value, dict):
        text = f"found {shown(root.plain)}; allowed: a mapping with the keys {', '.join(Config.model_fields)}"
        if split := missing_space(root.value):
            text += f"; a space is missing after the colon; write '{split}'"
        problems.add(root.where, "", text)
        problems.raise_if_any()
    if problems and not root.mapping:
        problems.raise_if_any()  # not YAML: nothing else can be said
    if not root.where.line:
        problems.raise_if_any()  # plain data that no file could hold
    root = with_full_names(apply_overrides(expand(root, Settings), overrides, problems))
    note_epochs(root, problems)
    header = _header(root, problems)
    root = _complete(root, problems)
    sweep_node = root.get("sweep")
    sweep = parse_sweep(sweep_node, problems) if sweep_node else None
    base = Node({name: root.mapping[name] for name in SECTIONS}, root.where, root.keys)
    parts = {name: section_options(base, name, problems, ignore_missing=bool(sweep)) for name in SECTIONS}
    if problems.enough or (sweep is not None and not sweep.axes):
        problems.raise_if_any()  # there is no cell to check, or no need to
    grid = build_grid(base, sweep, problems)
    problems.raise_if_any()
    assert header is not None
    check_groups(root, header, grid.cells, tuple(sweep.columns) if sweep else (), problems)
    problems.raise_if_any()
    settings = grid.cells[0].settings
    if all(parts.values()):
        model: Any = parts["model"]
        settings = construct({**parts, "model": model.resolve()})
    return Experiment(
        name=header.name,
        title=header.title,
        seeds=header.seed_list,
        settings=settings,
        cells=grid.cells,
        columns=tuple(sweep.columns) if sweep else (),
        raw=_raw(root, header, parts, sweep),
        claims=header.claims,
        probes=header.probes,
        decide=header.decide,
        merged=grid.merged,
        warnings=grid.warnings,
    )


def _header(root: Node, problems: Problems) -> Header | None:
    """Return what the file says beside its settings, and note keys that it may not have."""
    for key in root.mapping:
        if key not in Config.model_fields:
            text = unknown_key(key, list(Config.model_fields))
            if key in SWEEP_WORDS and not isinstance(root.mapping[key].value, dict):
                text = f"'{key}' is not needed here: {SWEEP_WORDS[key]}"
            problems.add(root.key_where(key), key, text)
    own = {key: child for key, child in root.mapping.items() if key in Header.model_fields}
    header = validate(Header, Node(own, root.where, root.keys), problems)
    seeds = root.get("seeds")
    if header is not None and seeds is not None and seeds.items:
        first: dict[int, int] = {}
        for index, item in enumerate(seeds.items):
            if item.plain in first:
                text = f"found {item.plain} again; allowed: different seeds; leave it out"
                problems.add(item.where, f"seeds[{index}]", text)
            first.setdefault(item.plain, index)
    if seeds is not None and isinstance(seeds.value, list) and not seeds.value:
        problems.add(seeds.where, "seeds", "an empty list; give at least one seed, or a number such as 5")
    probes = root.get("probes")
    if header is not None and probes is not None:
        names: set[str] = set()
        for index, (probe, item) in enumerate(zip(header.probes, probes.items, strict=True)):
            if probe.name in names:
                text = f"'{probe.name}' is there already; give each probe once, with all its options"
                problems.add(item.where, f"probes[{index}]", text)
            names.add(probe.name)
    if header is not None:
        check_claims(root, header, problems)
        check_decide(root, header, problems)
    return header


def _complete(root: Node, problems: Problems) -> Node:
    """Return the config with the sections that it leaves out; data and model are not chosen for anyone."""
    sweep = root.get("sweep")
    for name in SECTIONS:
        if name in root.mapping:
            continue
        field = Config.model_fields[name]
        if not field.is_required():
            default = getattr(field.default, "name", None)
            node = Node({} if default is None else {"name": Node(default, root.where)}, root.where)
        else:
            node = Node({}, root.where)
            if not any(key == name or key == f"{name}.name" for key in (sweep.mapping if sweep else {})):
                names = ", ".join(kinds(Settings, name))
                problems.add(root.where, name, f"missing; add '{name}: ...', one of: {names}")
        root = Node({**root.mapping, name: node}, root.where, root.keys)
    return root


def _raw(
    root: Node, header: Header, parts: dict[str, BaseModel | None], sweep: Sweep | None
) -> dict[str, Any]:
    """Return the config as plain data, defaults filled in; loaded again it gives the same cells."""
    swept = {axis.path for axis in sweep.axes} if sweep else set()
    raw: dict[str, Any] = {"name": header.name}
    if header.title is not None:
        raw["title"] = header.title
    raw["seeds"] = header.seed_list
    if header.decide is not None:
        raw["decide"] = header.decide.model_dump(mode="json", exclude_none=True)
    for name in SECTIONS:
        options, node = parts[name], root.mapping[name]
        raw[name] = node.plain if options is None else _filled(options, node, (name,), swept)
    for key in ("probes", "sweep", "claims"):
        if key in root.mapping:
            raw[key] = root.mapping[key].plain
    return copy.deepcopy(raw)


def _filled(options: BaseModel, node: Node, path: Path, swept: set[Path]) -> dict[str, Any]:
    """Return a section as plain data with its defaults, but without those of a section whose kind is swept.

    (Another kind would take over the first one's defaults as if the user had written them.)
    """
    as_written = any(path[: len(key)] == key for key in swept)
    plain: dict[str, Any] = {}
    for name, field in type(options).model_fields.items():
        value, child = getattr(options, name), node.mapping.get(name)
        if child is None and (value is None or (as_written and name != "name")):
            continue
        if value is None and field.default is None:
            continue
        if isinstance(value, BaseModel) and is_section(type(options), name):
            plain[name] = _filled(value, child or Node({}, node.where), (*path, name), swept)
        else:
            plain[name] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return plain


class _Dumper(yaml.SafeDumper):
    """Writes plain data so that our loader, which follows YAML 1.2, reads the same back."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        plain = scalar(text) == text
    except ValueError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "'")


_Dumper.add_representer(str, _text)


def dump_config(experiment: Experiment) -> str:
    """Return the text of `config.yaml`; loading it gives an equal experiment."""
    return yaml.dump(experiment.raw, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
