#!/bin/sh
# Fuzzes: fuzz/run.sh [--lean] [TARGET|all] SECONDS. The targets are head, chunked, uri, response, proxy
# and scoreboard; SECONDS is for each of them. Needs clang with libFuzzer (CC) and Meson (MESON).
#
# --lean: without AddressSanitizer, one split of an input instead of all, short inputs: ten times as
# many. In .build/fuzz-lean.
#
# Builds in .build/fuzz (FUZZ_BUILD), keeps what it learns there in corpus-TARGET, and leaves an input
# that fails as fuzz/regressions/TARGET/crash-*: give it a name that tells what it shows, and commit
# it with the fix.
set -eu

lean=
if [ "${1:-}" = --lean ]; then
    lean=-lean
    shift
fi
targets=all
if [ $# -gt 1 ]; then
    targets=$1
    shift
fi
seconds=${1:?usage: fuzz/run.sh [--lean] [head|chunked|uri|response|proxy|scoreboard|all] SECONDS}
[ "$targets" = all ] && targets="head chunked uri response proxy scoreboard"

root=$(cd "$(dirname "$0")/.." && pwd)
build=${FUZZ_BUILD:-$root/.build/fuzz$lean}
meson=${MESON:-meson}
if [ -z "${CC:-}" ]; then
    for CC in clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
        command -v "$CC" >/dev/null && break
    done
fi
export CC

if [ ! -f "$build/build.ninja" ]; then
    sanitize=address,undefined
    flags="-fsanitize=fuzzer-no-link -fno-sanitize-recover=all"
    if [ -n "$lean" ]; then
        sanitize=none
        flags="$flags -fsanitize=undefined -DFUZZ_LEAN"
    fi
    "$meson" setup "$build" "$root" -Dfuzz=true -Dtests=false -Dpython=disabled \
        -Db_sanitize=$sanitize -Db_lundef=false -Dc_args="$flags"
fi
"$meson" compile -C "$build" $(for t in $targets; do echo "fuzz-$t"; done)

max_len=4096
[ -n "$lean" ] && max_len=192
for target in $targets; do
    corpus=$build/corpus-$target
    kept=$root/fuzz/regressions/$target
    mkdir -p "$corpus" "$kept"
    echo "fuzzing $target for $seconds s"
    log=$build/$target.log
    if ! "$build/fuzz/fuzz-$target" -max_total_time="$seconds" -max_len=$max_len -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -dict="$root/fuzz/http.dict" \
        -artifact_prefix="$kept/" "$corpus" "$root/fuzz/seeds/$target" "$kept" >"$log" 2>&1; then
        tail -n 40 "$log"
        exit 1
    fi
    grep -E 'number_of_executed_units|average_exec_per_sec' "$log" || true
done
