from __future__ import annotations

import pytest
from conftest import Tree

import check_headers

GUARDED = "#ifndef X_H\n#define X_H\n{}\n#endif\n"
BAD = [
    GUARDED.format("int f(size_t n);"),
    GUARDED.format("void f();"),
    "struct twice {\n    int x;\n};\n",
    GUARDED.format('#include "base/not_there.h"'),
]


@pytest.mark.parametrize("text", BAD)
def test_refuses(tree: Tree, text: str) -> None:
    problems = check_headers.check(tree({"src/base/x.h": text}), ["gcc"])
    assert len(problems) == 1
    assert "src/base/x.h" in problems[0]


def test_accepts(tree: Tree) -> None:
    text = GUARDED.format('#include <stddef.h>\n#include "base/y.h"\nint f(size_t n, struct y *y);')
    other = "#pragma once\nstruct y {\n    int y;\n};\n"
    assert check_headers.check(tree({"src/base/x.h": text, "src/base/y.h": other}), ["gcc"]) == []
