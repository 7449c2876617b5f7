"""Makes a site of the pages of docs/, which are written to be read on GitHub: `make docs`.

The home page is README.md. A file outside docs/ to which a page leads becomes part of the site, in
`repository/`; a link to a folder leads to its README.md, and is plain text if there is none.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
HOME = "README.md"
OUTSIDE = "repository/"
LINK = re.compile(r"(?P<label>!?\[(?:[^][]|\[[^][]*\])*\])\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.M | re.S)
LIST = re.compile(r"^( *)([-*]|\d+\.) ")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the home page and what pages link to outside docs/; then set the navigation."""
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / HOME)))
    todo = list(files.documentation_pages())
    while todo:
        source = todo.pop()
        text = Path(str(source.abs_src_path)).read_text(encoding="utf-8")
        for _, target in links(text, place(source)):
            if (
                (uri := site_uri(target))
                and uri.startswith(OUTSIDE)
                and files.get_file_from_path(uri) is None
            ):
                added = File.generated(config, uri, abs_src_path=str(ROOT / repository_path(target)))
                files.append(added)
                todo += [added] if added.is_documentation_page() else []
    config.nav = navigation(files, config.extra["groups"])
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text with the links of the site, and lists as Python-Markdown wants them."""
    here = posixpath.dirname(page.file.src_uri)

    def changed(match: re.Match[str]) -> str:
        uri = site_uri(posixpath.normpath(posixpath.join(place(page.file), match["path"])))
        if uri is None:
            return match["label"].removeprefix("[").removesuffix("]")
        return f"{match['label']}({posixpath.relpath(uri, here or '.')}{match['anchor'] or ''})"

    return "".join(
        part if is_code else spaced_lists(LINK.sub(changed, part)) for is_code, part in pieces(markdown)
    )


def place(file: File) -> str:
    """Return the folder of a page's source in the repository."""
    return Path(str(file.abs_src_path)).parent.relative_to(ROOT).as_posix()


def links(text: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield each relative link of a page with its path in the repository."""
    for is_code, part in pieces(text):
        if not is_code:
            for match in LINK.finditer(part):
                yield match["path"], posixpath.normpath(posixpath.join(folder, match["path"]))


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a page, each with whether it is a block of code."""
    at = 0
    for match in FENCE.finditer(text):
        yield False, text[at : match.start()]
        yield True, match[0]
        at = match.end()
    yield False, text[at:]


def repository_path(target: str) -> str | None:
    """Return the file that a link to a path of the repository leads to, or None."""
    if (ROOT / target).is_dir():
        target = f"{target}/README.md"
    return target if (ROOT / target).is_file() else None


def site_uri(target: str) -> str | None:
    """Return the site's name of a path of the repository; None for a folder without a page.

    A path that is not there keeps a name, about which mkdocs then warns.
    """
    path = repository_path(target)
    if path is None:
        return None if (ROOT / target).is_dir() else target
    if path == HOME:
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{OUTSIDE}{path}"


def spaced_lists(text: str) -> str:
    """Return the text with an empty line before each list, and four spaces for each level of one.

    GitHub needs neither.
    """
    made: list[str] = []
    inside = False  # a list or a paragraph of one
    for line in text.split("\n"):
        item = LIST.match(line)
        if item and not inside and made and made[-1].strip():
            made.append("")
        if not line.strip() or item:
            inside = bool(item) or inside
        elif not line.startswith(" ") and (not made or not made[-1].strip()):
            inside = False
        if inside and line.startswith(" ") and line.strip():
            spaces = len(line) - len(line.lstrip())
            line = " " * (4 * -(-spaces // 4) if not item else 4 * max(1, spaces // 2)) + line.lstrip()
        made.append(line)
    return "\n".join(made)


def navigation(files: Files, groups: dict[str, list[str]]) -> list[Any]:
    """Return the navigation: the home page, the groups with the pages that are there, and the rest."""
    left = {file.src_uri for file in files.documentation_pages()} - {"index.md"}
    nav: list[Any] = [{"Home": "index.md"}]
    for title, names in groups.items():
        found = [uri for name in names for uri in expanded(name, left)]
        nav += [{title: [entry(uri) for uri in found]}] if found else []
        left -= set(found)
    return nav + ([{"More": sorted(left)}] if left else [])


def expanded(name: str, there: set[str]) -> list[str]:
    """Return the pages that a name of a group stands for: itself, or all of a folder, its README.md first."""
    if not name.endswith("/"):
        return [name] if name in there else []
    return sorted(
        (uri for uri in there if uri.startswith(name)), key=lambda uri: (uri != f"{name}README.md", uri)
    )


def entry(uri: str) -> str | dict[str, str]:
    """Return a page's entry: its heading, or for one of a folder of many the short name of its file."""
    name = posixpath.splitext(posixpath.basename(uri))[0]
    return uri if "/" not in uri or name == "README" else {name: uri}
