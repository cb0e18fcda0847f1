from __future__ import annotations

import pytest
from conftest import Tree

import check_layers

BAD = [
    ("src/base/x.c", '#include "os/fd.h"'),
    ("src/base/x.c", "#include <Python.h>"),
    ("src/http/x.c", '#include "server/worker.h"'),
    ("src/http/x.c", "#include <sys/socket.h>"),
    ("src/http/x.c", "#include <stdlib.h>"),
    ("src/os/x.h", '#include "event/poller.h"'),
    ("src/event/x.c", '#include "http/head.h"'),
    ("src/scoreboard/x.c", '#include "event/poller.h"'),
    ("src/server/x.c", '#include "master/master.h"'),
    ("src/server/x.c", "  #  include  <Python.h>"),
    ("src/master/x.c", '#include "server/reactor.h"'),
    ("src/master/x.c", '#include "http/head.h"'),
    ("src/base/x.c", '#include "list.h"'),
    ("src/base/x.c", '#include "base/../os/fd.h"'),
    ("src/server/x.c", '#include "elsewhere/x.h"'),
    ("src/extra/x.c", "int x;"),
    ("include/millpond.h", '#include "base/list.h"'),
]
GOOD = [
    ("src/base/x.c", '#include "base/list.h"\n#include <string.h>'),
    ("src/server/x.c", '#include "http/head.h"\n#include "event/poller.h"'),
    ("src/master/x.c", '#include "server/worker.h"'),
    ("src/python/x.c", '#include <Python.h>\n#include "master/master.h"\n#include "mp_version.h"'),
    ("include/millpond.h", "#include <stdint.h>"),
]


@pytest.mark.parametrize(("path", "text"), BAD)
def test_refuses(tree: Tree, path: str, text: str) -> None:
    problems = check_layers.check(tree({path: text + "\n"}))
    assert len(problems) == 1
    assert path + ":1: " in problems[0]


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_accepts(tree: Tree, path: str, text: str) -> None:
    assert check_layers.check(tree({path: text + "\n"})) == []
