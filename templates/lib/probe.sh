# shellcheck shell=sh
# What stands in a job's directory. Each line has a mark in front: whatever a job wrote, it says nothing about another.

probe_id() { # probe_id NUMBER DIRECTORY: who runs there
    [ -h "$2/job_id" ] || return 0
    echo "@$1"
    readlink "$2/job_id" | LC_ALL=C sed 's/^/by /' # in the C locale every byte is a letter
}

probe_exit() { # probe_exit NUMBER DIRECTORY BYTES: the beginning of the exit file
    [ -f "$2/exit" ] || return 0
    echo "@$1"
    { head -c "$3" "$2/exit"; echo; } | LC_ALL=C sed 's/^/=/'
}
