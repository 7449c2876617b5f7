"""Reads a page: its elements by html.parser, and what a headless Chromium makes of it."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser

VOID = {"meta", "input", "wbr", "link", "img", "br"}
OPTIONAL = {"td", "tr"}  # their end tags are left out in the table of runs
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)


class Node:
    """An element with its attributes, children and text."""

    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.children, self.words = [], []

    def all(self, tag=None, **wanted):
        """Return the elements in it, in order; `class_` is one of an element's classes."""
        found = []
        for child in self.children:
            fits = tag in (None, child.tag)
            for key, value in wanted.items():
                have = child.attributes.get(key.rstrip("_").replace("_", "-"))
                fits = fits and (value in (have or "").split() if key == "class_" else have == value)
            if fits:
                found.append(child)
            found += child.all(tag, **wanted)
        return found

    def one(self, tag=None, **wanted):
        (found,) = self.all(tag, **wanted)
        return found

    @property
    def text(self):
        """Return its text, with single spaces."""
        return " ".join(" ".join(self._texts()).split())

    def _texts(self):
        for word in self.words:
            if isinstance(word, str):
                yield word
            else:
                yield from word._texts()


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = self.here = Node("", (), None)
        self.faults = []

    def handle_starttag(self, tag, attributes):
        while self.here.tag in OPTIONAL and (tag == "tr" or (tag == "td" and self.here.tag == "td")):
            self.here = self.here.parent
        node = Node(tag, attributes, self.here)
        self.here.children.append(node)
        self.here.words.append(node)
        if tag not in VOID:
            self.here = node

    def handle_startendtag(self, tag, attributes):
        node = Node(tag, attributes, self.here)
        self.here.children.append(node)
        self.here.words.append(node)

    def handle_endtag(self, tag):
        while self.here.tag in OPTIONAL and self.here.tag != tag:
            self.here = self.here.parent
        if self.here.tag != tag:
            self.faults.append(f"</{tag}> in <{self.here.tag}> {self.here.attributes}")
            return
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.words.append(data)


def parse(text):
    """Return the page as a tree; its tags must match."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.faults, reader.faults[:3]
    assert reader.here is reader.root, f"<{reader.here.tag}> has no end"
    return reader.root


WATCHED = """<script>
window.faults = [];
addEventListener("error", (event) => window.faults.push(event.message));
for (const kind of ["error", "warn"]) console[kind] = (...words) => window.faults.push(words.join(" "));
</script>"""
ASKED = """<script>
addEventListener("load", () => {
  let answer;
  try { answer = (() => { %s })(); } catch (error) { window.faults.push(String(error)); }
  document.body.textContent = JSON.stringify({ answer, faults: window.faults });
});
</script>"""


def in_chromium(text, folder, script, width=1200):
    """Return what a script returns on the page in a headless Chromium, and the faults that it saw."""
    import json

    page = folder / "asked.html"
    text = text.replace("<head>", "<head>" + WATCHED, 1).replace("</body>", ASKED % script + "</body>", 1)
    page.write_text(text, encoding="utf-8")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [f"--user-data-dir={folder / 'chromium'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    body = re.search(r"<body[^>]*>(.*?)</body>", done.stdout, re.S)
    assert body, done.stderr[-2000:]
    found = json.loads(html.unescape(body[1]))
    return found.get("answer"), found["faults"]
