# shellcheck shell=sh
# Submit through a receipt. A try is the folder submit.N in the job's directory. Making it is atomic, so of any number
# of processes only one goes on to the scheduler. The answer is kept in it before it is sent back.
# Exit codes: 0 there is an answer, 73 cannot write, 75 another process is at it, 76 its process died, 77 never began.

begin_submit() { # begin_submit DIRECTORY TRY: take this try; not 0: it was taken before
    (umask 077 && mkdir -p "$1/work") && cd "$1" || exit 73
    try=$2
    if why=$(mkdir "$try" 2>&1); then
        # By cat(1), which says why it cannot write: the echo of some shells only says "I/O error".
        cat >"$try/by" <<BY || give_back
$(uname -n) $$
BY
        return 0
    fi
    [ ! -d "$try" ] || return 1
    echo "$why" >&2
    exit 73
}

give_back() { # nothing was submitted, so the same try may begin again
    rm -rf "$try"
    exit 73
}

make_folders() { # make_folders FOLDER...: for the other elements of an array
    (umask 077 && mkdir -p "$@") || give_back
}

stage() { # stage STORE PART CONTENT SIZE <TEXT: put a text of SIZE bytes into STORE as CONTENT, whole or not at all
    library_words=$(put "$@" 2>&1) # told where a job lacks it: without a job nothing is lost
}

put() {
    (umask 077 && mkdir -p "$1") && cat >"$1/$2" && [ "$(wc -c <"$1/$2")" -eq "$4" ] &&
        chmod 400 "$1/$2" && mv -f "$1/$2" "$1/$3" || rm -f "$1/$2"
}

take_library() { # take_library FILE CONTENT: link a content of the store to FILE, or copy it where links fail
    [ ! -e "$1" ] || rm -f "$1" # of an earlier try, perhaps of another version
    ln "$2" "$1" 2>/dev/null || cp "$2" "$1" && return
    [ -z "${library_words-}" ] || echo "$library_words" >&2
    give_back
}

run_submit() { # run_submit [SED OPTION...]: without the variables whose names sed(1) prints; keep what it answers
    chmod 700 script || give_back
    (
        # Only names are ever unset: a line of a value that looks like a variable does no harm.
        # shellcheck disable=SC2046 # words
        [ $# = 0 ] || unset -v adapter_none $(env | LC_ALL=C sed -n "$@")
        # shellcheck source=/dev/null
        . "./$try/command"
    ) </dev/null >"$try/stdout" 2>"$try/stderr"
    echo $? >"$try/exit_code.part" && mv "$try/exit_code.part" "$try/exit_code"
}

show_receipt() { # show_receipt DIRECTORY TRY
    cd "$1" 2>/dev/null && [ -d "$2" ] || exit 77
    if [ -f "$2/exit_code" ]; then
        cat "$2/stdout"
        cat "$2/stderr" >&2
        printf '\nreceipt %s\n' "$(cat "$2/exit_code")"
        exit 0
    fi
    read -r host process <"$2/by"
    if [ "$host" = "$(uname -n)" ] && ! kill -0 "$process" 2>/dev/null; then exit 76; fi
    exit 75
}
