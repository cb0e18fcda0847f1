from __future__ import annotations

from conftest import Tree

import check_docs

PAGE = "| option | default |\n|---|---|\n| `-b`, `--bind ADDRESS` | x |\n| `--preload`, `--no-preload` | |\n"


def test_a_link_to_nowhere_is_refused(tree: Tree) -> None:
    root = tree({"README.md": "[a](docs/a.md) [b](docs/b.md#part) [c](https://example.org/)\n"})
    (root / "docs").mkdir()
    (root / "docs" / "a.md").write_text("[back](../README.md)\n")
    assert check_docs.broken_links(root) == ["README.md: docs/b.md is not there"]


def test_an_option_that_the_page_lacks_is_refused() -> None:
    help_text = "  -b, --bind ADDRESS\n  --preload, --no-preload\n  --new X\n"
    assert check_docs.differences(help_text, PAGE) == ["options.md lacks --new"]


def test_an_option_that_is_gone_is_refused() -> None:
    problems = check_docs.differences("--preload, --no-preload", PAGE)
    assert problems == ["options.md has --bind, the command does not"]


def test_agreement_is_accepted() -> None:
    assert check_docs.differences("--bind A (see --preload)\n--no-preload", PAGE) == []
