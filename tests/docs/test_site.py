"""The documentation site: it builds without a warning and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.docs_script import docs_script
from helpers.page import CHROMIUM, in_chromium

pytest.importorskip("material", reason="the site needs mkdocs-material: pip install 'normbench[docs]'")
ROOT = Path(__file__).parents[2]
WIDTH = (
    "return [document.documentElement.scrollWidth - innerWidth, document.querySelectorAll('table').length];"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def hook():
    with docs_script("site_hook") as module:
        yield module


def test_every_page_of_docs_is_there(site):
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    names = [path.with_name("index.html") if path.stem == "README" else path for path in pages]
    assert len(names) > 60
    assert [str(name) for name in names if not (site / name).is_file()] == []


def test_no_page_loads_anything_from_elsewhere(site):
    loads = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(https?:[^\s\">]+)", re.I)
    styles = re.compile(
        r"<link\b[^>]*\brel=\"?(?:stylesheet|preconnect)[^>]*\bhref=\"?(https?:[^\s\">]+)", re.I
    )
    for page in site.rglob("*.html"):
        if page.name != "book.html":  # tests/report has a test for it
            text = page.read_text(encoding="utf-8")
            assert loads.findall(text) + styles.findall(text) == [], page


def test_local_links_lead_to_files(site):
    for page in (site / "index.html", site / "tour.html", site / "norms" / "batchnorm.html"):
        for link in re.findall(r"(?:href|src)=\"?([^\s\">#]+)", page.read_text(encoding="utf-8")):
            if "://" not in link and not link.startswith(("data:", "mailto:")):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_what_markdown_marks_is_not_left_as_text(site):
    for page in site.rglob("*.html"):
        if page.name != "book.html":
            text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
            assert not re.search(r"<p>(- |\* |\|)|\n- [A-Z`]|\]\([a-z./]+\.md|```", text), page


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (Debian's package: chromium)")
@pytest.mark.parametrize("width", [1300, 500])
@pytest.mark.parametrize("name", ["index", "config", "which", "norms/batchnorm", "tour"])
def test_a_page_fits_into_its_window(site, tmp_path, name, width):
    page = site / f"{name}.html"
    base = f'<head><base href="{page.as_uri()}">'
    text = page.read_text(encoding="utf-8").replace("<head>", base, 1)
    (too_wide, tables), _ = in_chromium(text, tmp_path, WIDTH, width)
    assert too_wide <= 0
    assert tables > 0 or name == "tour"


def test_lists_get_what_python_markdown_needs(hook):
    assert hook.spaced_lists("Text:\n- a\n- b\n\nMore") == "Text:\n\n- a\n- b\n\nMore"
    assert hook.spaced_lists("- a\n  - b\n  more of b") == "- a\n    - b\n    more of b"
    assert hook.spaced_lists("1. a\n   more\n2. b") == "1. a\n    more\n2. b"
    assert hook.spaced_lists("a line\nand - no list") == "a line\nand - no list"


def test_paths_of_the_repository_become_pages_of_the_site(hook):
    assert hook.site_uri("README.md") == "index.md"
    assert hook.site_uri("docs/which.md") == "which.md"
    assert hook.site_uri("docs/claims") == "claims/README.md"
    assert hook.site_uri("CONTRIBUTING.md") == "repository/CONTRIBUTING.md"
    assert hook.site_uri("configs/claims") is None
    assert hook.site_uri("docs/missing.md") == "docs/missing.md"  # of which mkdocs then warns


def test_pages_that_are_not_there_are_left_out_and_new_ones_come_last(hook):
    class Files:
        def documentation_pages(self):
            names = ("index.md", "tour.md", "new.md", "norms/b.md", "norms/README.md")
            return [type("File", (), {"src_uri": name}) for name in names]

    nav = hook.navigation(
        Files(), {"Start": ["tour.md", "absent.md"], "Norms": ["norms/"], "Gone": ["gone.md"]}
    )
    assert nav == [
        {"Home": "index.md"},
        {"Start": ["tour.md"]},
        {"Norms": ["norms/README.md", {"b": "norms/b.md"}]},
        {"More": ["new.md"]},
    ]
