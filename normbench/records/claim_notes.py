"""Notes in environment.json of when each claim came into the config, and how many results were there then.

A claim that is written after its results says less than one that was written before. `verify` tells which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normbench.counts import counted
from normbench.errors import RecordsError
from normbench.records.config_file import parse_config_text, read_config
from normbench.records.environment import now, read_claims, write_claims

_WORDS = ("id", "statement", "source", "reports")  # of a claim; a change of them changes no verdict


def note_claims(root: Path, config_text: str, results: int, shards: Mapping[Path, int] | None = None) -> None:
    """Note the claims of a new config that the folder has not noted yet; call it before it is written.

    Args:
        root: the results folder, with the config before.
        config_text: the new config.
        results: the number of runs that have a result now.
        shards: the folders that are joined into this one now, and the number of their results; each has
            notes of its own.
    """
    try:
        claims = _claims(parse_config_text(config_text))
    except ValueError:  # longer than what is read as a config; no claims are judged in such a folder
        return
    noted = read_claims(root)
    known = [] if noted is None else noted
    if noted is None:  # a folder of version 0.2 has claims whose time nobody noted
        try:
            before = _claims(read_config(root / "config.yaml"))
        except RecordsError:  # it is damaged and is restored now
            before = []
        known = [{"claim": _content(claim), "since": None, "results": None} for claim in before]
    there = [_noted_content(note) for note in known]
    new = [content for content in map(_content, claims) if content not in there]
    added = [_noted(content, results, shards or {}) for content in new]
    if added or (known and noted is None):
        write_claims(root, [*known, *added])


def _noted(content: dict[str, Any], results: int, shards: Mapping[Path, int]) -> dict[str, Any]:
    """Return the note of a claim that is new in a folder.

    A shard that has noted it tells how many results the shard had then; in any other, all came before it.
    """
    since, counted = [], 0
    for folder, there in shards.items():
        notes = read_claims(folder) or []
        note = next((one for one in notes if one.get("claim") == content), None)
        before = note.get("results") if note else there
        counted += before if isinstance(before, int) else there
        since.append(note.get("since") if note else None)
    known = [str(one) for one in since if one]
    number = max(results, counted)  # the folder may have the results of its shards already
    return {"claim": content, "since": max(known) if known and all(since) else now(), "results": number}


def late_claims(root: Path, claims: Any) -> list[str]:
    """Return a sentence for each group of claims that were written when there were results already.

    Args:
        root: the results folder.
        claims: the claims as its config.yaml has them.
    """
    noted = read_claims(root)
    if noted is None:
        return []
    groups: dict[str, list[str]] = {}
    for claim in _claims({"claims": claims}):
        content = _content(claim)
        note = next((one for one in noted if _noted_content(one) == content), None)
        if note is None:
            text = f"no run has noted {{}}: written into {root / 'config.yaml'} after training"
        elif note.get("results"):
            since, results = note.get("since"), note["results"]
            text = f"{{}} came into the config on {since}, when {counted(results, 'run')} had a result"
        else:
            continue
        groups.setdefault(text, []).append(str(claim.get("id")))
    return [
        text.replace("{}", f"{'claim' if len(ids) == 1 else 'claims'} {', '.join(ids)}")
        + ": not stated beforehand"
        for text, ids in groups.items()
    ]


def _claims(config: dict[str, Any]) -> list[dict[str, Any]]:
    found: Iterable[Any] = config.get("claims") or ()
    return [claim for claim in found if isinstance(claim, dict)] if isinstance(found, list) else []


def _content(claim: dict[str, Any]) -> dict[str, Any]:
    """Return what decides a claim's verdict, as JSON gives it back."""
    return dict(json.loads(json.dumps(_without_words(claim), default=str)))


def _noted_content(note: dict[str, Any]) -> dict[str, Any] | None:
    """Return what decides the verdict of a noted claim; a note may hold words that were not left out then."""
    claim = note.get("claim")
    return _without_words(claim) if isinstance(claim, dict) else None


def _without_words(claim: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in claim.items() if key not in _WORDS}
