#!/bin/sh
# The same task file on several backends: are the results the same, byte by byte, and right?
# usage: compare.sh OUT [BACKEND...]     OUT must not exist; the backends are local and slurm unless named
#        FILES=30 compare.sh ...         fewer files than 300
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$1
shift
[ "$#" -gt 0 ] || set -- local slurm
mkdir "$out"

"$here/make-tasks.py" "$out/tasks.yaml" "${FILES:-300}"
"$here/expect.sh" "$out/files.txt" "$out/expected"
for backend in "$@"; do
    "$here/run.sh" "$backend" "$out/tasks.yaml" "$out/$(basename "$backend" .yaml)"
done
for backend in "$@"; do
    diff -r "$out/expected/results" "$out/$(basename "$backend" .yaml)/results"
done
echo "$(find "$out/expected/results" -type f | wc -l) result files are the same on $*, and the same as made without adapter"
