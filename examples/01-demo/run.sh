#!/bin/sh
# The demonstration: eight tasks on this machine, one of which fails on purpose. `make demo` runs this.
# usage: run.sh [FOLDER]   FOLDER (default ./demo-out) takes everything; nothing is written anywhere else.
set -eu

project=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-demo-out}
if [ "$#" -eq 0 ]; then rm -rf demo-out; fi # what the last demonstration left
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -z "$(ls -A "$out")" ] || { echo "run.sh: $out is not empty" >&2; exit 2; }

say() { printf '\n# %s\n' "$*"; }
show() { # show COMMAND...: print it as it would be typed, then run it
    printf '$ %s\n' "$*"
    "$@"
}
expect() { # expect EXIT_CODE COMMAND...: show it, and stop if it exits with another one
    wanted=$1
    shift
    code=0
    show "$@" || code=$?
    [ "$code" -eq "$wanted" ] || { echo "run.sh: that should have exited with $wanted, not $code" >&2; exit 1; }
}

say "Everything goes into one folder: jobs (\$HOME/.adapter), the store (\$ADAPTER_STATE), and the results."
unset XDG_CONFIG_HOME XDG_STATE_HOME ADAPTER_CONFIG ADAPTER_PATH
mkdir "$out/home"
show cd "$out"
show export HOME="$out/home" ADAPTER_STATE="$out/state"
show cp -R "$project/LICENSE" "$project/templates" "$project/schemas" "$project/examples/01-demo/tasks.yaml" .

say "The task file is checked before anything runs."
expect 0 adapter validate tasks.yaml

say "All eight tasks, as processes of this machine. One fails on purpose, so the exit code is 10."
expect 10 adapter run tasks.yaml --on local

say "What is known about them stays in the store, for any later command."
expect 0 adapter status
run=$(adapter status | awk 'NR == 2 { print $1 }')
expect 0 adapter status "$run"

say "What the failed one wrote."
expect 0 adapter logs "$run.8"
expect 0 adapter logs "$run.8" --stderr

say "The declared outputs are here."
expect 0 ls results results/report
expect 0 cat results/frequent-words.txt
expect 0 head -n 6 results/report/report.txt

say "Was it all as described?"
adapter status "$run" >status.txt
[ "$(grep -c ' succeeded ' status.txt)" -eq 7 ]
grep -q 'fails on purpose  *failed: exit code 3' status.txt
expect 0 sha256sum --check --quiet results/sha256.txt
[ "$(wc LICENSE)" = "$(cat results/licence-counts.txt)" ]
[ "$(cat results/xyzzy.txt)" = 0 ]
[ "$(head -n 1 results/report/report.txt)" = "Keys used in the templates: \"quotes\", \$dollars and ünicode are safe" ]
[ "$(gzip -dc results/schemas.tar.gz | tar -tf - | grep -c json)" -eq "$(find schemas -name '*.json' | wc -l)" ]
echo "Yes: 7 tasks succeeded, 1 failed on purpose, and the results are those of the same commands run by hand."
