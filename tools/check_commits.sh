#!/bin/sh
# Refuses commit messages that are not `subsystem: what`, in 72 columns, with an empty second line.
# Usage: check_commits.sh [RANGE]; without one, every commit. With `-`, one message on stdin, so that it
# serves as a commit-msg hook too: check_commits.sh - <"$1"
set -u

problems=0

complain() {
    printf '%s: %s\n' "$1" "$2"
    problems=$((problems + 1))
}

# Judges the message on stdin; $1 is what to call it.
judge() {
    message=$(cat)
    subject=$(printf '%s\n' "$message" | sed -n 1p)
    second=$(printf '%s\n' "$message" | sed -n 2p)
    if [ "${#subject}" -gt 72 ]; then
        complain "$1" "the first line has ${#subject} columns, 72 are allowed: $subject"
    fi
    if ! printf '%s\n' "$subject" | grep -Eq '^[a-z][a-z0-9_./-]*(, [a-z][a-z0-9_./-]*)*: [^ ]'; then
        complain "$1" "the first line is not \`subsystem: what\`: $subject"
    fi
    case $subject in
    *.) complain "$1" "the first line ends with a full stop: $subject" ;;
    esac
    if [ -n "$second" ]; then
        complain "$1" "the second line is not empty: $second"
    fi
}

if [ "${1:-}" = - ]; then
    judge "message"
else
    cd "$(dirname "$0")/.." || exit 1
    commits=$(git rev-list --no-merges "${1:-HEAD}") || exit 1
    for commit in $commits; do
        judge "$(git rev-parse --short "$commit")" <<END
$(git log -1 --format=%B "$commit")
END
    done
    printf '%s commits read\n' "$(printf '%s\n' "$commits" | grep -c .)"
fi
[ "$problems" = 0 ]
