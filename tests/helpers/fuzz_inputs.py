# ruff: noqa: E501  (tables)
"""Inputs close enough to real ones to pass the first checks, and odd enough to fail a later one."""

from __future__ import annotations

from hypothesis import strategies as st

ODD_NUMBERS = [
    "0", "-1", "1", "2", "1e-3", "-0.0", "1e308", "1e-320", "-1e308", "999999999999999999", "9" * 30, "1e999",
    ".inf", "-.inf", ".nan", "nan", "inf", "0x10", "1_000", "0.1.2", "١٢", "1:30",
]  # fmt: skip
ODD_WORDS = [
    "", "~", "null", "true", "off", "no", "none", "None", "=1+1", "+1", "-x", "@SUM(A1)", "'", "''", '"', ",", "\t",
    "$x$", "$\\frac{", "<script>", "&amp;", "../../x", "/etc/passwd", "a b", "é", "\ud7ff", "\x7f", "\u2028",
    "x" * 300, "!!python/object:os.system", "*a", "&a", "<<", "{", "[", "]", "}", "#", "%", "|", ">", "- ", ": ",
]  # fmt: skip
odd_texts = st.sampled_from(ODD_NUMBERS + ODD_WORDS) | st.text(max_size=12)
odd_bytes = st.binary(max_size=30) | odd_texts.map(lambda text: text.encode("utf-8", "replace"))


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, float, float, bytes]]:
    """Draw edits of a text: what to do, start and length as shares of the text, and the new bytes."""
    one = st.tuples(
        st.sampled_from(["insert", "replace", "delete", "cut", "repeat", "line"]),
        st.floats(0, 1),
        st.floats(0, 0.1) | st.floats(0, 1),
        odd_bytes,
    )
    return draw(st.lists(one, min_size=1, max_size=4))


def edited(data: bytes, changes: list[tuple[str, float, float, bytes]]) -> bytes:
    """Return the bytes after the edits, made one after the other."""
    for what, where, size, new in changes:
        start = int(where * len(data))
        end = min(len(data), start + 1 + int(size * len(data)))
        piece = data[start:end]
        if what == "insert":
            data = data[:start] + new + data[start:]
        elif what == "replace":
            data = data[:start] + new + data[end:]
        elif what == "delete":
            data = data[:start] + data[end:]
        elif what == "cut":
            data = data[:start]
        elif what == "repeat":
            data = data[:end] + piece + data[end:]
        else:  # a cell or a value of one line becomes another
            head = max(data.rfind(mark, 0, start) for mark in (b",", b":", b"\n")) + 1
            tails = [at for mark in (b",", b"\n", b"}") if (at := data.find(mark, start)) >= 0]
            data = data[:head] + new + data[min(tails, default=len(data)) :]
        data = data[: 1 << 20]
    return data
