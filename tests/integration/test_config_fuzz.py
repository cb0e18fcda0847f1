"""Configuration from strangers: any words, any values. There is a Config, or one clean complaint."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond._config import KINDS, Config, ConfigError
from millpond._options import OPTIONS
from millpond._words import Words

FEW = settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

ODD = ["", "0", "-1", "1", "auto", "1:2", "2:1", ":", "1e9", "0x10", "10M", "1.5", "nan", "inf"]
ODD += [
    "9" * 40,
    "\0",
    "\u0661",
    "é",
    " 1",
    "1 ",
    "--",
    "-",
    "=",
    "off",
    "v1",
    "*",
    "::1/129",
    "/x",
]
words = st.one_of(
    st.sampled_from(sorted(OPTIONS)),
    st.sampled_from(ODD),
    st.builds("{}={}".format, st.sampled_from(sorted(OPTIONS)), st.sampled_from(ODD)),
    st.text(max_size=12),
)
values: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.sampled_from(ODD),
    st.binary(max_size=4), st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=3),
    st.tuples(st.integers(), st.integers()), st.just(object()),
)  # fmt: skip


def _sane(config: Config) -> None:
    """What every Config promises."""
    assert 1 <= config.workers[0] <= config.workers[1]
    assert 1 <= config.threads[0] <= config.threads[1]
    for name, kind in KINDS.items():
        value = getattr(config, name)
        if isinstance(value, float):
            assert math.isfinite(value) and value >= 0
        if value is not None:
            assert kind.check(value) == value


@FEW
@given(st.lists(words, max_size=8))
def test_any_command_line(arguments: list[str]) -> None:
    try:
        read = Words(arguments)
        read.parse()
        made = Config(**read.values)
    except ConfigError as error:
        assert str(error)
        assert "\n" not in str(error)
    else:
        _sane(made)


@FEW
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(KINDS)), st.text(max_size=8)), values, max_size=6
    )
)
def test_any_options_of_a_program(options: dict[str, Any]) -> None:
    try:
        made = Config.make(options)
    except ConfigError as error:
        assert str(error)
    else:
        _sane(made)
