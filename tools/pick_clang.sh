#!/bin/sh
# Prints the clang to use: $CLANG if set, else `clang`, else the newest clang-NN. It must be able to
# link with AddressSanitizer, ThreadSanitizer and libFuzzer, whose runtimes are packages of their own.
set -u

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/target.c" <<'END'
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return data == NULL && size != 0;
}
END
echo 'int main(void) { return 0; }' >"$scratch/main.c"

try() {
    command -v "$1" >/dev/null 2>&1 || return
    "$1" -fsanitize=fuzzer,address,undefined "$scratch/target.c" -o "$scratch/f" 2>/dev/null || return
    "$1" -fsanitize=thread "$scratch/main.c" -o "$scratch/t" 2>/dev/null || return
    printf '%s\n' "$1"
    exit 0
}

if [ -n "${CLANG:-}" ]; then
    try "$CLANG"
else
    for name in clang clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
        try "$name"
    done
fi
echo "no clang with its sanitizer and fuzzer runtimes" >&2
exit 1
