#!/bin/sh
# What the results must be, made without adapter: the same tools, run here one after the other.
# usage: expect.sh FILES.txt OUT     FILES.txt is what make-tasks.py wrote; OUT/results is made
set -eu

results=$2/results
mkdir -p "$results/compressed" "$2/files"
list=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
results=$(cd "$results" && pwd)
cd "$2/files"

sum_group() { # sum_group NUMBER NAME...
    group=$(printf 'group-%04d' "$1")
    shift
    sha256sum -- "$@" >"$results/$group.sha256"
    cksum -- "$@" >"$results/$group.cksum"
    wc -- "$@" >"$results/$group.wc"
}

number=0
set --
while IFS='	' read -r name path; do
    cp -- "$path" "$name"
    gzip -n -9 -c -- "$name" >"$results/compressed/$name.gz"
    set -- "$@" "$name"
    if [ "$#" -eq 3 ]; then
        number=$((number + 1))
        sum_group "$number" "$@"
        set --
    fi
done <"$list"
[ "$#" -eq 0 ] || sum_group $((number + 1)) "$@"
