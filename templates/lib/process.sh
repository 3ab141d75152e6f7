# shellcheck shell=sh
# Jobs that are background processes. A job id is PID.START: a PID that is used again has another start. proc(5)

start_job() { # start_job LOG COMMAND...: print its id
    log=$1
    shift
    # setsid(1): a session of its own survives the end of this one, and makes the process group that is killed as one.
    setsid "$@" </dev/null >"$log" 2>&1 &
    read -r stat </proc/$!/stat
    read_stat
    echo "$!.$start"
}

read_stat() { # in $state and $start: fields 3 and 22 of $stat
    # shellcheck disable=SC2086 # words
    set -- ${stat##*) }
    state=$1
    shift 19
    start=$1
}

find_job() { # find_job ID: whether that process is there; in $state how it stands
    { read -r stat </proc/"${1%.*}"/stat; } 2>/dev/null || return
    read_stat
    [ "$start" = "${1#*.}" ]
}

show_jobs() { # show_jobs ID...: the state of those that are there
    for job do
        find_job "$job" || continue
        case $state in Z | X) ;; *) echo "$job $state" ;; esac # ended, and not yet reaped
    done
}

end_jobs() { # end_jobs ID...: what is stopped has to go on to hear it
    for job do
        ! find_job "$job" || { kill -s TERM "${job%.*}" && kill -s CONT "${job%.*}"; }
    done
    :
}

kill_groups() { # kill_groups ID...: at once, with all that they started
    for job do
        ! find_job "$job" || kill -s KILL -- "-${job%.*}"
    done
    :
}

refuse_when_busy() { # refuse_when_busy LOAD BYTES: of load for each processor, and of memory that has to be there
    awk -v most="$1" -v processors="$(getconf _NPROCESSORS_ONLN)" -v bytes="$2" '
        FILENAME == "/proc/loadavg" && $1 > most * processors {
            print "this machine is busy: its load is " $1 > "/dev/stderr"
            exit 75
        }
        $1 == "MemAvailable:" && $2 * 1024 < bytes {
            print "this machine is busy: it has " $2 " kB of memory left" > "/dev/stderr"
            exit 75
        }
    ' /proc/loadavg /proc/meminfo
}
