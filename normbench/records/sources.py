"""The sources of plug-ins, kept in `plugins/<hash>/` of a results folder, and their records.

Only `normbench run` executes them, when it goes on in the folder and `--plugin` is left out. What reads
records never does.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from normbench.records.environment import read_sessions
from normbench.records.files import own_folder, write_file

if TYPE_CHECKING:
    from normbench.plugins import Plugin

FOLDER = "plugins"
_SHOWN = 8  # digits of a hash in a message


def keep(root: Path, plugins: Iterable[Plugin]) -> None:
    """Write the sources of these plug-ins into a results folder; a file that is there stays as it is.

    Files of one hash differ in comments and formatting at most, so that the first version may stay.
    """
    for plugin in plugins:
        for source in plugin.sources:
            path = root / FOLDER / plugin.folder / source.file
            if not path.is_file():
                for folder in reversed(list(path.relative_to(root).parents)[:-1]):
                    own_folder(root / folder)
                write_file(path, source.data)


def kept(root: Path) -> list[dict[str, Any]]:
    """Return what the last session told of its plug-ins, for those whose sources are kept."""
    sessions = read_sessions(root)
    return [record for record in _records(sessions[-1]) if _is_kept(record)] if sessions else []


def _records(session: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = session.get("plugins")
    for record in found if isinstance(found, list) else ():
        if isinstance(record, dict) and isinstance(_name(record), str):
            yield record


def _is_kept(record: Mapping[str, Any]) -> bool:
    """Return whether a record is complete and names no file outside of its folder."""
    files, registers = record.get("files"), record.get("registers")
    texts = [record.get(key) for key in ("identity", "main", "module")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(files, dict):
        return False
    if not isinstance(registers, list) or not str(record["identity"]).isalnum():
        return False
    return record["main"] in files and not any(
        PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts for file in files
    )


def _name(record: Mapping[str, Any]) -> Any:
    return record.get("file") or record.get("entry_point")


def recorded(root: Path) -> list[dict[str, Any]]:
    """Return the latest record of each plug-in that any session used."""
    latest: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
    for session in read_sessions(root):
        for record in _records(session):
            latest.pop((_name(record), ()), None)  # of version 0.2
            latest[_name(record), tuple(_registers(record))] = record
    return list(latest.values())


def _registers(record: Mapping[str, Any]) -> list[str]:
    """Return what a plug-in registered; nothing for a record of version 0.2, which did not tell."""
    found = record.get("registers")
    return sorted(map(str, found)) if isinstance(found, list) else []


def plugin_differences(root: Path, now: Iterable[Plugin]) -> list[str]:
    """Return a sentence for each plug-in that differs from the one with which the runs were trained.

    Args:
        root: the results folder.
        now: the plug-ins that are loaded.
    """
    loaded = [plugin.record() for plugin in now]
    sentences = []
    for old in recorded(root):
        new = _same(old, loaded)
        if new is None:
            continue
        name, hashes = _name(new), f"sha {_hash(old, new)} then, {_hash(new, old)} now"
        if changed := _changed_files(old, new):
            own = name in changed or new["main"] in changed
            which = name if own else f"{', '.join(changed)}, which belongs to {name},"
            sentences.append(f"{which} has changed since these runs were trained ({hashes})")
        elif name != _name(old) and "identity" not in old:
            sentences.append(
                f"{_name(old)} is called {name} now; version 0.2 counted the name, so rename it back"
            )
        elif old.get("sha256") != new["sha256"]:
            sentences.append(
                f"{name} has other comments or formatting than when these runs were trained, by version 0.2, "
                "which counted them; without --plugin the file as it was is loaded"
            )
    return sentences


def _same(old: Mapping[str, Any], loaded: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the loaded plug-in that a record tells of: it registers the same, or has its name or bytes."""
    names = set(_registers(old))
    alike = (
        lambda new: names & set(new["registers"]),
        lambda new: _name(old) == _name(new),
        lambda new: old.get("sha256") == new["sha256"],
    )
    return next((new for is_alike in alike for new in loaded if is_alike(new)), None)


def _changed_files(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the files that differ; of a record of version 0.2, which has only the main file, that one."""
    if "identity" not in old:
        return [new["main"]] if old.get("sha256") != new["sha256"] else []
    if old["identity"] == new["identity"]:
        return []
    before = old["files"] if isinstance(old.get("files"), dict) else {}
    trees = [
        {new["main"] if file == main else file: tree for file, tree in files.items()}
        for files, main in ((before, old.get("main")), (new["files"], new["main"]))
    ]
    names = dict.fromkeys([*trees[0], *trees[1]])
    return [file for file in names if trees[0].get(file) != trees[1].get(file)] or [new["main"]]


def _hash(record: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the hash by which two records can be told apart, short."""
    both = "identity" in record and "identity" in other
    return str(record.get("identity" if both else "sha256"))[:_SHOWN]


def sources_apart(one: Path, other: Path, used: Collection[str]) -> list[str]:
    """Return a sentence for each name that two results have, for the code of two different plug-ins.

    Args:
        one: a results folder.
        other: another one.
        used: the names that appear in the settings of both.
    """
    sentences = []
    for a, b in itertools.product(recorded(one), recorded(other)):
        hashes = _hash(a, b), _hash(b, a)
        if hashes[0] == hashes[1]:
            continue
        places = f"{_name(a)}, sha {hashes[0]}, in A; {_name(b)}, sha {hashes[1]}, in B"
        shared = [entry for entry in _registers(a) if entry in _registers(b)]
        if names := [entry for entry in shared if entry.partition(": ")[2] in used]:
            sentences.append(f"{', '.join(names)}: not the same code in both ({places})")
        elif not (_registers(a) and _registers(b)) and _name(a) == _name(b):  # version 0.2 told no names
            sentences.append(f"{_name(a)}: not the same file in both ({places})")
    return sentences
