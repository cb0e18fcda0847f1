#!/bin/sh
# Prints the path of the interpreter to build with: $PYTHON if set, else the first suitable one of
# python3 in PATH, /usr/bin, and pyenv. Suitable: CPython >= 3.11 with headers and venv. Fails, and
# says why, when there is none.
set -u

probe='
import os, platform, sys, sysconfig
missing = []
if platform.python_implementation() != "CPython":
    missing.append("is not CPython")
elif sys.version_info < (3, 11):
    missing.append("is older than 3.11")
else:
    if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
        missing.append("has no headers (Python.h)")
    try:
        import ensurepip, venv
    except ImportError:
        missing.append("has no venv")
if missing:
    sys.exit("%s %s %s" % (sys.executable, platform.python_version(), " and ".join(missing)))
print(sys.executable)
'

reasons=""
try() {
    if answer=$("$1" -c "$probe" 2>&1); then
        printf '%s\n' "$answer"
        exit 0
    fi
    reasons="$reasons
  $(printf '%s\n' "$answer" | tail -n 1)"
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
else
    for name in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1; then
            try "$name"
        fi
    done
    for path in "$HOME"/.pyenv/versions/*/bin/python3; do
        if [ -x "$path" ]; then
            try "$path"
        fi
    done
fi
echo "no suitable Python (CPython >= 3.11 with headers and venv)${reasons:+:$reasons}" >&2
exit 1
