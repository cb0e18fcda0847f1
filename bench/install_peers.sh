#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the virtual environment that the benchmarks run from: Millpond and the servers it is
# compared with, all on one interpreter. A peer that does not install is reported and left out;
# the runner measures whatever is there.
#
#   bench/install_peers.sh                    everything, into .venv-bench
#   bench/install_peers.sh --millpond-only    build and install this checkout again, nothing else
#
# PYTHON=/path/to/python3 picks the interpreter, VENV=/path the place.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${VENV:-$root/.venv-bench}
python=${PYTHON:-python3}
log=$venv/install.log
failed=

# Debian packages: what the runner calls (wrk, taskset, cc) and what the peers compile against.
packages="wrk util-linux build-essential pkg-config python3-dev python3-venv libev-dev libpcre2-dev"
# One requirement a line; the first word is the name in the report.
peers="bjoern fastwsgi fastpysgi granian uwsgi gunicorn[fast] waitress cheroot"

say() {
    printf '%s\n' "$*" >&2
}

missing_packages() {
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            printf '%s ' "$package"
    done
}

install_packages() {
    command -v dpkg-query >/dev/null || return 0
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    say "system packages: $missing"
    # shellcheck disable=SC2086  # a list on purpose
    if ! $sudo env DEBIAN_FRONTEND=noninteractive sh -c \
        "apt-get -q update && apt-get -q -y --no-install-recommends install $missing" \
        >>"$log" 2>&1; then
        say "  failed; going on without them (see $log)"
    fi
}

# fastwsgi needs pkg_resources, which setuptools has no more from 81 on.
make_venv() {
    mkdir -p "$venv"
    printf '*\n' >"$venv/.gitignore"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || exit 1
    "$venv/bin/python" -m pip install -q -U pip 'setuptools<81' wheel >>"$log" 2>&1
}

# install NAME REQUIREMENT...: reports one line, never stops the script.
install() {
    name=$1
    shift
    if "$venv/bin/python" -m pip install -q --disable-pip-version-check "$@" >>"$log" 2>&1; then
        say "  $name: installed"
    else
        say "  $name: FAILED, skipped (see $log)"
        failed="$failed $name"
    fi
}

# The ancestor is one module. No wheel of it can be built, because its archive lacks files that its
# setup.py names; so the module is taken out of the archive, unchanged. setup.py imports it, hence
# the shim.
install_ancestor() {
    name=PooledProcessMixIn
    folder=$venv/ancestor
    mkdir -p "$folder"
    if PYTHONPATH=$root/bench/mixin/shim "$venv/bin/python" -m pip download -q --no-deps --no-binary :all: \
        --no-build-isolation -d "$folder" "$name==0.0.2" >>"$log" 2>&1 &&
        tar -xzf "$folder/$name-0.0.2.tar.gz" -C "$folder" --strip-components=1 \
            "$name-0.0.2/$name.py" >>"$log" 2>&1; then
        say "  $name: installed"
    else
        say "  $name: FAILED, skipped (see $log)"
        failed="$failed $name"
    fi
}

install_millpond() {
    if [ -f "$root/pyproject.toml" ]; then
        install millpond --force-reinstall --no-deps "$root"
    else
        say "  millpond: no pyproject.toml in $root yet, skipped"
    fi
}

mkdir -p "$venv"
: >"$log"
if [ "${1:-}" != --millpond-only ]; then
    install_packages
fi
make_venv
say "installing into $venv ($("$venv/bin/python" --version))"
if [ "${1:-}" != --millpond-only ]; then
    for peer in $peers; do
        install "${peer%%\[*}" "$peer"
    done
    install flask flask
    install_ancestor
fi
install_millpond
[ -z "$failed" ] || say "not installed:$failed"
exit 0
