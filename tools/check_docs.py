"""Holds the documents to what is there: relative links lead somewhere, and docs/user/options.md has the
same options, with the same defaults, as `millpond --help`.

Usage: check_docs.py [MILLPOND_COMMAND...]; without a command only the links are looked at.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
OPTION = re.compile(r"--[a-z][a-z_-]*")


def documents(root: Path) -> list[Path]:
    hidden = {".git", ".build", ".venv", ".venvs", ".venv-bench"}
    found = root.rglob("*.md")
    return sorted(path for path in found if not hidden & set(path.relative_to(root).parts))


def broken_links(root: Path) -> list[str]:
    """Every relative link that leads nowhere, as `file: link`."""
    problems = []
    for path in documents(root):
        for target in LINK.findall(FENCE.sub("", path.read_text())):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (path.parent / target).exists():
                problems.append(f"{path.relative_to(root)}: {target} is not there")
    return problems


def options_in_help(text: str) -> set[str]:
    return set(OPTION.findall(text))


def options_in_page(text: str) -> set[str]:
    """The options that the page has a row for: the first cell of a table's rows."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {option for row in rows for option in OPTION.findall(row)}


def differences(help_text: str, page: str) -> list[str]:
    """What the page lacks, and what it has that the command does not."""
    there, told = options_in_help(help_text), options_in_page(page)
    problems = [f"options.md lacks {name}" for name in sorted(there - told)]
    return problems + [
        f"options.md has {name}, the command does not" for name in sorted(told - there)
    ]


def main() -> int:
    problems = broken_links(ROOT)
    command = sys.argv[1:]
    if command:
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
        page = (ROOT / "docs" / "user" / "options.md").read_text()
        problems += differences(done.stdout, page)
    print("\n".join(problems) or "the documents agree with what is there")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
