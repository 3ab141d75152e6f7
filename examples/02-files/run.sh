#!/bin/sh
# Run one task file on one backend, and check that all went as it should.
# usage: run.sh BACKEND TASKS.yaml OUT     the results come to OUT/results
set -eu

backend=$1 out=$3
mkdir -p "$out"
cp "$2" "$out/tasks.yaml" # outputs go to folders seen from the task file
wanted=$(grep -c '^  - ' "$out/tasks.yaml")

code=0
adapter run "$out/tasks.yaml" --on "$backend" --name "files on $backend" --json >"$out/run.json" || code=$?
[ "$code" -eq 10 ] || { echo "run.sh: adapter run exits with $code; 10 was expected: one task fails" >&2; exit 1; }

run=$(sed -n 's/^  "run": "\(.*\)",$/\1/p' "$out/run.json")
adapter status "$run" >"$out/status.txt"
succeeded=$(grep -c ' succeeded ' "$out/status.txt")
[ "$succeeded" -eq $((wanted - 1)) ] || { echo "run.sh: $succeeded of $wanted tasks succeeded" >&2; exit 1; }
grep -q 'fails on purpose  *failed: exit code 3' "$out/status.txt"
[ "$(adapter logs "$run.$wanted" --stderr)" = "this one fails on purpose" ]
echo "$backend: $succeeded tasks succeeded, 1 failed on purpose"
