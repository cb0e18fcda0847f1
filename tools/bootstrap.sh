#!/bin/sh
# Installs what a Debian or Ubuntu machine lacks: `bootstrap.sh build` for building and testing,
# `bootstrap.sh check` for everything that `make check` uses as well. Asks for nothing that is there,
# so it takes a moment when there is nothing to do. On other systems it says what is missing.
set -u

level=${1:-build}
here=$(cd "$(dirname "$0")" && pwd)

case $level in
build | check) ;;
*)
    echo "usage: bootstrap.sh build|check" >&2
    exit 2
    ;;
esac

say() {
    printf '==> %s\n' "$*"
}

fail() {
    printf 'bootstrap: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        fail "needs root to run: $*"
    fi
}

has_compiler() {
    command -v gcc >/dev/null 2>&1 || return 1
    # The compiler, the C library's headers and the sanitizer runtimes that come with it.
    printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' |
        gcc -x c -fsanitize=address,undefined -o /dev/null - 2>/dev/null
}

apt_has() {
    apt-cache show "$1" >/dev/null 2>&1
}

updated=""
apt_install() {
    command -v apt-get >/dev/null 2>&1 || fail "this is no Debian or Ubuntu; please install: $*"
    log=$(mktemp)
    if [ -z "$updated" ]; then
        say "updating the list of packages"
        as_root apt-get -q update >"$log" 2>&1 || {
            cat "$log" >&2
            fail "apt-get update failed"
        }
        updated=yes
    fi
    wanted=""
    for package in "$@"; do
        if apt_has "$package"; then
            wanted="$wanted $package"
        fi
    done
    if [ -n "$wanted" ]; then
        say "installing$wanted"
        # shellcheck disable=SC2086 # a list of package names
        as_root apt-get -q -y install --no-install-recommends $wanted >"$log" 2>&1 || {
            tail -n 40 "$log" >&2
            fail "apt-get install failed"
        }
    fi
    rm -f "$log"
}

need_build_tools() {
    packages=""
    has_compiler || packages="$packages gcc libc6-dev"
    command -v ninja >/dev/null 2>&1 || packages="$packages ninja-build"
    command -v pkg-config >/dev/null 2>&1 || packages="$packages pkg-config"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
    # shellcheck disable=SC2086
    [ -z "$packages" ] || apt_install $packages
    has_compiler || fail "gcc does not work"
}

need_python() {
    "$here/pick_python.sh" >/dev/null 2>&1 && return
    [ -z "${PYTHON:-}" ] || {
        "$here/pick_python.sh"
        exit 1
    }
    apt_install python3 python3-dev python3-venv
    "$here/pick_python.sh" >/dev/null 2>&1 && return
    # Ubuntu 22.04: the default is 3.10, a newer one is beside it.
    for version in 3.13 3.12 3.11; do
        if apt_has "python$version-venv"; then
            apt_install "python$version" "python$version-dev" "python$version-venv"
            break
        fi
    done
    "$here/pick_python.sh" >/dev/null || exit 1
}

# CPython's own tests, which are run with Millpond's mix-in in them. Debian has them in packages of
# their own; without them that part of the tests is skipped.
need_tests_of_python() {
    command -v dpkg >/dev/null 2>&1 || return 0
    packages=""
    for header in /usr/include/python3.*/Python.h; do
        name=$(basename "$(dirname "$header")")
        dpkg -s "$name" >/dev/null 2>&1 || continue
        [ -e "/usr/lib/$name/test/test_socketserver.py" ] && continue
        # Only if it is an interpreter that the tests are run on.
        "$here/py" "$here/find_pythons.py" 2>/dev/null |
            grep -q "^${name#python}\.[0-9]*[[:space:]]/usr/bin/" || continue
        packages="$packages lib$name-testsuite"
    done
    [ -n "$packages" ] || return 0
    # shellcheck disable=SC2086
    (apt_install $packages) || say "going on without CPython's own tests"
}

need_clang() {
    "$here/pick_clang.sh" >/dev/null 2>&1 && return
    apt_install clang
    command -v clang >/dev/null 2>&1 || fail "clang could not be installed"
    # The runtimes: in some releases a package of their own, named for the version.
    version=$(clang -dumpversion | cut -d. -f1)
    apt_install "libclang-rt-$version-dev" "libclang-common-$version-dev"
    "$here/pick_clang.sh" >/dev/null || exit 1
}

need_build_tools
need_python
need_tests_of_python
if [ "$level" = check ]; then
    need_clang
fi
