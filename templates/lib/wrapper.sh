# shellcheck shell=sh
# The job's wrapper, for scripts that define `steps` and then call run_job. It runs the steps, hands signals on to
# them, and writes the exit file in one move, so that nobody ever reads half of it.
#
# A script may define stop_launched, which ends what a step left running elsewhere, after it sourced this file.

run_job() { # run_job DIRECTORY TRY ID SETTING...: run the steps, write the exit file, and end the shell
    job=$1 me="submit.$2 $3" id=$3
    shift 3
    job_stdin=/dev/null job_stdout=$job/stdout job_stderr=$job/stderr job_walltime='' job_ended='' job_flags=' '
    exit_file_size=512 # bytes
    for setting do
        case $setting in
            stdin=*) job_stdin=${setting#*=} ;;
            stdout=*) job_stdout=${setting#*=} ;;
            stderr=*) job_stderr=${setting#*=} ;;
            steps=*) exit_file_size=$((496 + 16 * ${setting#*=})) ;; # how many there are
            walltime=*) job_walltime=${setting#*=} ;;                # seconds after which this wrapper ends the steps
            exit_log=*) job_ended=${setting#*=} ;;                   # a file that is told which job has ended
            *) job_flags="$job_flags$setting " ;;                    # count_times, end_processes, own_cgroup
        esac
    done
    be_the_only_one

    told_to_end= # before there was a step to hand it to: without a trap the steps would begin, and run on alone
    trap told_to_end=1 TERM INT HUP
    trap : USR1 USR2 XCPU
    began=$(date +%s)
    rm -f exit nap overtime reason prologue steps # of a run before a requeue
    printf "%${exit_file_size}s\n" '' >exit.part || exit 73
    forwarded='' watcher=''
    find_memory_peak
    [ -z "$told_to_end" ] || end_job 143

    run_steps <"$job_stdin" >"$job_stdout" 2>"$job_stderr" &
    child=$!
    trap 'forward TERM' TERM INT HUP
    for signal in USR1 USR2 XCPU; do
        # shellcheck disable=SC2064 # the signal of this round is meant
        trap "forward $signal" "$signal"
    done
    [ -z "$told_to_end" ] || { sleep 1; forward TERM; } # by then its own traps are set
    [ -z "$job_walltime" ] || begin_watch

    wait "$child"
    code=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ends `wait` early; the child goes on until it ends
        wait "$child"
        code=$?
    done
    explain_prologue
    [ -z "$watcher" ] || end_watch
    stop_launched
    if job_has end_processes || [ -f overtime ]; then end_members; fi
    [ ! -f overtime ] || end_job 143 time_limit
    end_job "$code"
}

job_has() { # job_has FLAG: whether the script asked for it
    case $job_flags in *" $1 "*) ;; *) return 1 ;; esac
}

stop_launched() { :; }

# One job directory is run by one submission of one job: a second one stops here. A requeued job keeps its id. The
# number of the submission stands beside the id: what a job takes for its id may be that of another.
be_the_only_one() {
    cd "$job" || exit 73
    ln -s "$me" job_id 2>/dev/null && return
    [ -h job_id ] || exit 73 # cannot write here
    [ "$(readlink job_id)" != "$me" ] || return 0
    echo "submitted twice: $(readlink job_id) runs this, $me does nothing" >&2
    exit 75
}

# ---- the steps, in a process of their own ------------------------------------------------------------------------

run_steps() { # a signal is for the step that runs: it has its own time to end, and then no other step begins
    if leads_group || [ -r /proc/$$/task/$$/children ]; then stay; fi
    steps_file=$job/steps step_number='' prologue_file=$job/prologue
    steps
    set -- "$?"
    [ "$1" != 0 ] || end_step 0
    return "$1"
}

stay() { # a subshell forgets the traps of its shell: without its own it would end before what runs in it has ended
    trap 'exit 143' TERM INT HUP
    trap : USR1 USR2 XCPU
}

begin_step() { # begin_step NUMBER: this step begins, so the one before it ended well, unless it said otherwise
    end_step 0
    step_number=$1
}

step_failed() { # the step that runs has ended with another code than 0, which is returned
    set -- "$?"
    end_step "$1"
    return "$1"
}

end_step() { # end_step CODE: note it for the exit file
    [ -z "$step_number" ] || echo "step $step_number $1" >>"$steps_file"
    step_number=
    return 0
} 2>/dev/null

# ---- the prologue: command by command, so that none fails in silence ---------------------------------------------

run_prologue() { # run_prologue NUMBER TEXT: run TEXT in this shell; not 0: a command of it failed, or left it
    prologue_rest=$2
    run_prologue_commands "$1" || return
    [ ! -f "$prologue_file" ]
}

run_prologue_commands() {
    prologue_number=$1 # whatever the commands do to the arguments
    while next_prologue_command; do
        {
            eval "$prologue_command"
        } 2>>"$prologue_file"
        end_prologue_command "$?" || return
    done
}

next_prologue_command() { # lines are added until a shell can read them, or none is left
    [ -n "$prologue_rest" ] && [ ! -f "$prologue_file" ] || return
    prologue_command=
    while [ -n "$prologue_rest" ]; do
        prologue_command="$prologue_command${prologue_rest%%"
"*}
"
        case $prologue_rest in
            *"
"*) prologue_rest=${prologue_rest#*"
"} ;;
            *) prologue_rest= ;;
        esac
        [ -n "$prologue_rest" ] && ! (eval "whole() {
:
$prologue_command
}") 2>/dev/null || break
    done
    printf 'line %s of the prologue, %s\n' "$prologue_number" "${prologue_command%%"
"*}" >"$prologue_file"
}

end_prologue_command() { # end_prologue_command CODE: the file of what did not go well stays, however its shell ended
    [ "$1" = 0 ] || return "$1"
    sed 1d "$prologue_file" >&2
    rm -f "$prologue_file"
}

explain_prologue() { # a line of it failed, however it ended: `exit`, `set -e`, a file that is not there
    [ -f prologue ] && [ -z "$forwarded" ] || return 0
    [ "$code" != 0 ] || code=1
    read -r message <prologue
    sed 1d prologue >>"$job_stderr"
    words=$(sed 1d prologue | grep -v '^[[:space:]]*$' | tail -n 1 | tr -d '\r' | cut -c 1-300)
    printf '%s\n' launch_failure "$message: exit code $code${words:+: $words}" >reason
}

# ---- the end -----------------------------------------------------------------------------------------------------

end_job() { # end_job EXIT_CODE [REASON]: write the exit file over its reserved space, in one move
    code=$1 why=${2-} message='' user='' system='' peak=''
    if job_has count_times; then
        times >"times"
        { read -r _; read -r user system; } <"times"
    fi
    [ -z "$peak_file" ] || read -r peak <"$peak_file"
    written_code=$code
    if [ -z "$why" ] && job_has own_cgroup && memory_ran_out; then # what was killed may be a child of one that ends well
        why=out_of_memory message='the job used up the memory that it may have'
        [ "$code" != 0 ] || written_code=137
    fi
    if [ -z "$why" ] && [ "$code" != 0 ] && [ -s reason ]; then # two lines, of the prologue or of the launch of a step
        { read -r why; read -r message; } <reason
    fi
    printf "%${exit_file_size}s\n" '' 1<>exit.part
    {
        echo "exit_code $written_code"
        echo "reason $why"
        printf 'message %s\n' "$message"
        echo "job_id $id"
        echo "started $began"
        echo "ended $(date +%s)"
        echo "user $user"
        echo "system $system"
        echo "peak_ram_bytes $peak" && { cat steps 2>/dev/null || :; }
    } 1<>exit.part && mv -f exit.part exit
    [ -z "$job_ended" ] || echo "$id" >>"$job_ended"
    exit "$code"
}

memory_ran_out() { # of cgroup v2, v1
    cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null | grep -q '^oom_kill [1-9]'
}

find_memory_peak() { # in $peak_file: the kernel's count of this job's memory, if the job has a control group to itself
    peak_file=
    if job_has own_cgroup; then
        for file in /sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes; do
            [ ! -r "$file" ] || peak_file=$file
        done
        return
    fi
    while IFS=: read -r _ controllers path; do
        case $controllers in
            memory) set -- "/sys/fs/cgroup/memory$path" memory.max_usage_in_bytes ;; # cgroup v1
            '') set -- "/sys/fs/cgroup$path" memory.peak ;;                          # cgroup v2
            *) continue ;;
        esac
        [ -r "$1/$2" ] && { read -r first; ! read -r _; } <"$1/cgroup.procs" || continue
        [ "$first" = $$ ] && peak_file=$1/$2
    done </proc/self/cgroup
} 2>/dev/null

# ---- processes ---------------------------------------------------------------------------------------------------

leads_group() { # whether this process leads its process group, so that a signal to the group reaches this job only
    read -r stat </proc/$$/stat || return
    # shellcheck disable=SC2086 # words
    set -- ${stat##*) }
    [ "$3" = $$ ]
} 2>/dev/null

offspring() { # offspring PID: it and everything that it started, as far as the kernel tells
    echo "$1"
    for pid in $(cat /proc/"$1"/task/*/children); do offspring "$pid"; done
} 2>/dev/null

find_members() { # in $members: what lives in this job's process group, besides this process and its watch
    members=
    for stat in /proc/[0-9]*/stat; do
        read -r stat <"$stat" || continue
        pid=${stat%% *}
        # shellcheck disable=SC2086 # words
        set -- ${stat##*) }
        case $pid$1 in $$? | *Z | *X | "${watcher:-none}"?) continue ;; esac
        [ "$3" != $$ ] || members="$members $pid"
    done
} 2>/dev/null

forward() { # forward SIGNAL: hand it to everything this job started, and keep waiting
    forwarded=$1
    if leads_group; then
        trap '' "$1" # the group includes this process
        kill -s "$1" 0
        # shellcheck disable=SC2064 # this signal is meant
        trap "forward $1" "$1"
    else
        # shellcheck disable=SC2046 # words
        kill -s "$1" $(offspring "$child")
    fi
}

kill_members() { # at once
    if leads_group; then find_members; else members=$(offspring "$child"); fi
    # shellcheck disable=SC2086 # words
    kill -s KILL $members
} 2>/dev/null

end_members() { # what the steps left running: the job has ended only when its processes have
    leads_group || return 0
    for pause in 0 0.1 0.2 0.5 1 1 1 1; do
        find_members
        [ -n "$members" ] || return 0
        # shellcheck disable=SC2086 # words
        [ "$pause" != 0 ] || kill -s TERM $members
        sleep "$pause"
    done
    kill_members
} 2>/dev/null

# ---- the walltime, where nobody else ends the job ----------------------------------------------------------------

begin_watch() {
    trap kill_members ALRM
    watch_walltime </dev/null >/dev/null 2>&1 &
    watcher=$!
    while [ ! -f nap ] && kill -0 "$watcher"; do :; done # a moment: from then on the watch can be ended whole
}

watch_walltime() { # at its walltime the job gets what a kill gives it, and 5 s later what is still there is killed
    trap '' TERM INT HUP USR1 USR2 XCPU ALRM
    nap "$job_walltime"
    : >overtime
    kill -s TERM $$
    nap 5
    stop_launched
    kill -s ALRM $$
}

nap() { # nap SECONDS: a sleep that can be ended
    sleep "$1" &
    echo $! >nap.part && mv nap.part nap
    wait $!
}

end_watch() { # surely: once this returns, the watch has said that the time is over, or never will
    kill -s KILL "$watcher"
    wait "$watcher"
    kill -s KILL "$(cat nap)"
} 2>/dev/null
