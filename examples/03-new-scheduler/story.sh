#!/bin/sh
# A sysadmin's story: a queue that nobody has heard of becomes a backend, with YAML alone.
# usage: story.sh [FOLDER]    FOLDER (default: a temporary one, removed at the end) takes everything
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$(mktemp -d)}
mkdir -p "$out/home" "$out/queue" "$out/site/.adapter"
out=$(cd "$out" && pwd)
daemon=
end() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || :
    for folder in "$out"/queue/[0-9]*; do # what an interrupted story leaves running
        if [ "$(cat "$folder/state" 2>/dev/null)" = R ]; then kill -s KILL -- "-$(cat "$folder/pid")" 2>/dev/null || :; fi
    done
    [ "$#" -gt 0 ] || rm -rf "$out"
}
# shellcheck disable=SC2064 # whether a folder was named is known now
trap "end ${1:+kept}" EXIT
trap 'exit 130' INT TERM

step() { printf '\n# %s\n' "$*"; }
show() {
    printf '$ %s\n' "$*"
    "$@"
}
expect() { # expect EXIT_CODE COMMAND...
    wanted=$1
    shift
    code=0
    show "$@" || code=$?
    [ "$code" -eq "$wanted" ] || { echo "story.sh: that should have exited with $wanted, not $code" >&2; exit 1; }
}
ended() { # ended INDEX NAME VERDICT: whether the job ended like that
    grep -q "^$run.$1  *$2  *$3  " ended.txt || { echo "story.sh: job $1 should have ended like this: $3" >&2; exit 1; }
}

unset XDG_CONFIG_HOME XDG_STATE_HOME ADAPTER_CONFIG ADAPTER_PATH
export HOME="$out/home" ADAPTER_STATE="$out/state" MINIQ_DIR="$out/queue" PATH="$here/minisched:$PATH"
cd "$out/site"

step "1. This is the queue: a banner, odd job ids, letters for states, and it is busy every now and then."
mq-daemon 3 2 </dev/null >/dev/null 2>&1 &
daemon=$!
expect 0 cp "$here/broken.yaml" "$here/miniq.yaml" "$here/jobs.yaml" .
echo 'exit 0' >by-hand
expect 0 mq-add -n "by hand" by-hand
expect 4 mq-list 'job#1' 'job#99'

step "2. The first version of the backend file has a few mistakes. All are found at once, before anything runs."
expect 2 adapter validate broken.yaml

step "3. The right one. In .adapter, or in ~/.config/adapter/backends, it is found by its name."
expect 0 adapter validate miniq.yaml
expect 0 mv miniq.yaml .adapter/
expect 2 adapter run --on miniq -- true
expect 0 adapter trust miniq
expect 0 adapter backends list

step "4. What comes from this file, and what from the base for batch schedulers?"
expect 0 adapter backends explain miniq

step "5. What would be sent to the queue? (the script is left out here)"
printf '$ %s\n' "adapter render --on miniq --walltime 5m -- echo hello"
adapter render --on miniq --walltime 5m -- echo hello | sed '/^==== script/,/^==== submit/{/^==== submit/!d;}'

step "6. One job: its output and its exit code come out here."
expect 0 adapter run --on miniq -- echo hello
expect 3 adapter run --on miniq -- sh -c 'exit 3'

step "7. Seven jobs: two sleep for ever and are killed, one ignores the polite signal, one is refused."
expect 0 adapter submit jobs.yaml --on miniq
run=$(adapter status --no-poll | awk 'NR == 2 { print $1 }')
expect 0 adapter kill "$run.3" "$run.4"
expect 10 adapter wait "$run"
expect 0 adapter status "$run"
expect 0 adapter logs "$run.1"
expect 0 adapter logs "$run.2" --stderr

step "8. Did everything go right?"
adapter status "$run" --no-poll >ended.txt
ended 1 "says hello" succeeded
ended 2 "exits with 3" "failed: exit code 3"
ended 3 "sleeps for ever" "killed: killed by user"
ended 4 "ignores the polite signal" "killed: killed by user"
ended 5 "too slow" "failed: time limit"
ended 6 "asks for too much" "failed: submit refused"
ended 7 "makes a file" succeeded
[ -s results/made.txt ]
adapter status "$run.6" --no-poll --json | grep -q 'nobody may run longer than an hour'
mine=$(cat "$MINIQ_DIR"/[0-9]*/note | grep -c '^adapter-')
[ "$mine" -eq 8 ] || { echo "story.sh: the queue has seen $mine of our jobs, not 8" >&2; exit 1; }
for pid in "$MINIQ_DIR"/[0-9]*/pid; do
    if kill -0 -- "-$(cat "$pid")" 2>/dev/null; then
        echo "story.sh: processes of a job that ended still run: $pid" >&2
        exit 1
    fi
done
echo "Yes. The queue has seen each job exactly once, though it was busy $(($(wc -l <"$MINIQ_DIR/was-busy"))) times."
