#!/bin/sh
# Fuzzes: fuzz/run.sh [TARGET|all] SECONDS. The targets are head, chunked, uri, response and proxy; SECONDS
# is for each of them. Needs clang with libFuzzer (CC) and Meson (MESON).
#
# Builds in .build/fuzz (FUZZ_BUILD), keeps what it learns there in corpus-TARGET, and leaves an input
# that fails as fuzz/regressions/TARGET/crash-*: give it a name that tells what it shows, and commit
# it with the fix.
set -eu

targets=all
if [ $# -gt 1 ]; then
    targets=$1
    shift
fi
seconds=${1:?usage: fuzz/run.sh [head|chunked|uri|response|all] SECONDS}
[ "$targets" = all ] && targets="head chunked uri response proxy"

root=$(cd "$(dirname "$0")/.." && pwd)
build=${FUZZ_BUILD:-$root/.build/fuzz}
meson=${MESON:-meson}
if [ -z "${CC:-}" ]; then
    for CC in clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
        command -v "$CC" >/dev/null && break
    done
fi
export CC

if [ ! -f "$build/build.ninja" ]; then
    "$meson" setup "$build" "$root" -Dfuzz=true -Dtests=false -Dpython=disabled \
        -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args="-fsanitize=fuzzer-no-link -fno-sanitize-recover=all"
fi
"$meson" compile -C "$build" $(for t in $targets; do echo "fuzz-$t"; done)

for target in $targets; do
    corpus=$build/corpus-$target
    kept=$root/fuzz/regressions/$target
    mkdir -p "$corpus" "$kept"
    echo "fuzzing $target for $seconds s"
    log=$build/$target.log
    if ! "$build/fuzz/fuzz-$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -dict="$root/fuzz/http.dict" \
        -artifact_prefix="$kept/" "$corpus" "$root/fuzz/seeds/$target" "$kept" >"$log" 2>&1; then
        tail -n 40 "$log"
        exit 1
    fi
    grep -E 'number_of_executed_units|average_exec_per_sec' "$log" || true
done
