"""The hash of a syntax tree: what counts, what does not, and that no version of Python changes it."""

from __future__ import annotations

import pytest

from normbench.errors import NormbenchError
from normbench.plugins.syntax import parse, tree_hash

CODE = '''
"""A module."""
from __future__ import annotations
from . import a as b, c
import os.path, re
X: int = 0x10 + -1.5e-3 * 2j ** True
Y = [None, ..., b"\\x00\\xff", "caf\\u00e9", u"u", {**{}, 1: 2}, {1, 2}, (i for i in () if i)]
Z = f"a {X!r:>{10}} {X=} " "b" f"{Y[1:2, ::3]}"

@decorated(1, *args, key=2, **more)
class C(Base, metaclass=M):
    """A class."""
    def f(self, a, /, b: int = 1, *c, d, e=2, **g) -> None:
        """A function."""
        global X
        if (n := a) < b <= d is not None and not e or n in c:
            return lambda x, *y: x @ y
        elif a: pass
        for i, j in g: break
        else: continue_ = 1
        while a: del a[0], b.c
        with open(a) as h, b: raise E from h
        try: assert a, "text"
        except (A, B) as error: yield error
        else: yield from ()
        finally: X //= ~1
        match a:
            case [1, *rest] | {"k": v, **kw} if rest: ...
            case P(x=None) as q: ...
            case _: ...
    async def g(self):
        async with a: await b
        return [x async for x in y]
'''
HASH = "1b7a8839bc00f4a23dd8e25c77f3342eda72d68b593f17e436bf0a741bd26511"


def hashed(code: str | bytes) -> str:
    data = code if isinstance(code, bytes) else code.encode()
    return tree_hash(parse(data, "x.py"))


def test_the_hash_is_the_same_in_every_version_of_python():
    """Guards the run ids of plug-ins: the value was computed by Python 3.10, 3.11, 3.12 and 3.13."""
    assert hashed(CODE) == HASH


SAME = {
    "comment": CODE.replace("global X", "global X  # a comment"),
    "blank lines": CODE.replace("\n    async", "\n\n\n    async"),
    "indentation": CODE.replace("            return lambda", "                 return lambda"),
    "parentheses": CODE.replace("return lambda x, *y: x @ y", "return (lambda x, *y: (x @ y))"),
    "quotes": CODE.replace('"text"', "'text'"),
    "digits": CODE.replace("0x10", "16"),
    "docstring": CODE.replace("A function.", "Another text."),
    "no docstring": CODE.replace('    """A class."""\n', ""),
    "CRLF": CODE.replace("\n", "\r\n"),
    "byte order mark": b"\xef\xbb\xbf" + CODE.encode(),
    "pieces of a text": CODE.replace('" "b" f"', "b"),
    "encoding": b"# coding: latin-1\n" + CODE.replace("caf\\u00e9", "caf\u00e9").encode("latin-1"),
}


@pytest.mark.parametrize("change", SAME)
def test_what_changes_nothing_has_the_same_hash(change):
    assert SAME[change] != CODE
    assert hashed(SAME[change]) == hashed(CODE)


OTHER = {
    "number": ("-1.5e-3", "-1.5e-4"),
    "its type": ("-1.5e-3 * 2j ** True", "-1.5e-3 * 2j ** 1"),
    "text and bytes": ('b"\\x00\\xff"', '"00ff"'),
    "name": ("X //= ~1", "Y //= ~1"),
    "operator": ("x @ y", "x * y"),
    "order": ("import a as b, c", "import c, a as b"),
    "default": ("d, e=2", "d=2, e"),
    "positional only": ("a, /, b: int", "a, b: int"),
    "else": ("        else: continue_ = 1\n", "        continue_ = 1\n"),
    "conversion": ("{X!r:>{10}}", "{X!s:>{10}}"),
    "annotation": ("-> None", "-> int"),
    "text after the docstring": ('"""A function."""', '"""A function."""\n        "text"'),
    "async": ("async with a: await b", "with a: await b"),
    "relative import": ("from . import", "from .. import"),
    "unpacking": ("{**{}, 1: 2}", "{1: 2}"),
}


@pytest.mark.parametrize("change", OTHER)
def test_what_changes_the_code_has_another_hash(change):
    before, after = OTHER[change]
    assert before in CODE
    assert hashed(CODE.replace(before, after)) != hashed(CODE)


def test_deep_and_long_code_has_a_hash():
    assert hashed("x = " + "+".join(["1"] * 900)) != hashed("x = " + "+".join(["1"] * 901))
    assert hashed("x = 0x" + "f" * 6000) != hashed("x = 0x" + "f" * 6001)


def test_what_is_not_python_is_refused():
    for code in ("x = = 1", "x = '\0'", "(" * 5000 + ")" * 5000):
        with pytest.raises(NormbenchError, match=r"^x.py.*(not Python|nested too deeply)"):
            hashed(code)
