from __future__ import annotations

import pytest

import check_src

BAD = [
    ("base", "void f(char *a) { strcpy(a, a); }"),
    ("os", "int f(char *a) { return atoi(a); }"),
    ("server", "void f(char *a) { strtok (a, a); }"),
    ("http", "void *f(void) { return malloc(1); }"),
    ("http", "void f(void *p) { free(p); }"),
    ("http", "long f(void) { return read(0, 0, 0); }"),
    ("server", "void f(void) { close(3); }"),
    ("server", "void f(void) { epoll_ctl(1, 2, 3, 0); }"),
    ("master", "int f(void) { return fork(); }"),
    ("python", "int f(void) { return open(0, 0); }"),
    ("base", 'void f(void) { printf("x"); }'),
    ("event", "void f(struct mp_log *l) { mp_log(l, 1, 0); }"),
    ("os", "void f(void) { perror(0); }"),
    ("server", "/* allowed: close: */ void f(void) { close(3); }"),
    ("server", "/* allowed: read: another function */\nvoid f(void) { close(3); }"),
]
GOOD = [
    ("os", "void f(void) { close(3); }"),
    ("event", "void f(void) { epoll_ctl(1, 2, 3, 0); }"),
    ("base", "void *f(void) { return malloc(1); }"),
    ("server", "void f(struct c *c) { c->read(c); c->ops.close(c); mp_fd_close(3); }"),
    ("server", 'static const char *s = "close(3)"; /* close(3) */ // close(3)'),
    ("server", "void f(void (*read)(void)) { (*read)(); }"),
    ("server", "void f(struct mp_log *l) { mp_log(l, 1, 0); }"),
    ("server", "/* allowed: close: the reason */\nvoid f(void) { close(3); }"),
    ("server", "void f(void) { close(3); /* allowed: close: the reason */ }"),
    ("server", "void f(void) { char c = '\"'; g(c); }"),
]


@pytest.mark.parametrize(("layer", "text"), BAD)
def test_refuses(layer: str, text: str) -> None:
    assert check_src.check_text(text, layer, "x.c")


@pytest.mark.parametrize(("layer", "text"), GOOD)
def test_accepts(layer: str, text: str) -> None:
    assert check_src.check_text(text, layer, "x.c") == []


def test_an_exception_that_excuses_nothing_is_refused() -> None:
    problems = check_src.check_text("/* allowed: close: once */\nint x;\n", "server", "x.c")
    assert problems == ["x.c:1: `allowed: close` excuses nothing"]


def test_names_the_line() -> None:
    text = "/* a\n b */\nint y;\nvoid f(void) { close(3); }\n"
    assert check_src.check_text(text, "server", "x.c")[0].startswith("x.c:4: close()")
