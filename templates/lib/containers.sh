# shellcheck shell=sh disable=SC2016
# Steps in containers of an engine with the command line of Docker: one container for a step, in its foreground.
# The script says how, by use_containers, and defines launch_exec where the engine needs options of its own.

use_containers() { # use_containers SETTING=VALUE...: in the shell of the steps, after the prologue
    launch_env=$(export -p) launch_passed='' launch_flags=''
    for launch_word do
        case $launch_word in
            engine=*) launch_program=${launch_word#*=} ;;
            job=*) launch_job=${launch_word#*=} ;;
            run=*) launch_run=${launch_word#*=} ;;
            token=*) launch_token=${launch_word#*=} ;;
            pull=*) launch_policy=${launch_word#*=} ;;         # missing, always, never
            timeout=*) launch_timeout=${launch_word#*=} ;;     # seconds for one question
            pauses=*) launch_pauses=${launch_word#*=} ;;       # seconds between tries, a list
            pass_env=*) launch_passed=$(launch_pass "${launch_word#*=}") ;; # names and patterns, a list
            flags=*) launch_flags=,${launch_word#*=}, ;;       # of keep, daemon, tells_oom, read_only_inputs
        esac
    done
    launch_engine=$(command -v "$launch_program") || launch_engine=$launch_program
    launch_id=$(readlink "$launch_job/job_id") launch_id=${launch_id#* } # without the number of the submission
}

launch_is() { # launch_is FLAG
    case $launch_flags in *",$1,"*) ;; *) return 1 ;; esac
}

launch_exec() { exec "$launch_engine" "$@"; }

launch_tool() { (launch_exec "$@"); }

launch_pass() { # launch_pass PATTERNS: the names of the job's variables that containers get, too; its prologue's as well
    set -f
    # shellcheck disable=SC2002 # of cat's own, which has what this shell exports by now
    for launch_word in $(cat /proc/self/environ | tr '\n\0' ' \n' | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
        for launch_pattern in $1; do
            # shellcheck disable=SC2254 # it is a pattern
            case $launch_word in $launch_pattern) echo "$launch_word"; break ;; esac
        done
    done
}

ignored() { # ignored COMMAND...: the job goes on whatever becomes of this step
    launch_ignored=yes
    "$@"
}

contained() { # contained STEP IMAGE... -- OPTION... -- COMMAND...: run a step; the exit code is that of COMMAND
    launch_name=$launch_token-$1 launch_stopped='' launch_part=images
    shift
    trap 'launch_stopped=yes' TERM INT HUP # the container gets the signal through the engine, and ends first
    trap : USR1 USR2 XCPU
    for launch_word do # what the engine reads itself stays as it was; the value of the task is for the container
        case $launch_part$launch_word in
            images--) launch_part=options ;;
            options--) break ;;
            options--env=*=*) ;;
            options--env=PATH | options--env=HOME | options--env=TMPDIR | options--env=IFS | options--env=LD_* | \
                options--env=XDG_* | options--env=GO* | options--env=SSL_* | options--env=*_proxy | \
                options--env=*_PROXY | options--env=DOCKER_* | options--env=BUILDKIT_* | options--env=*CONTAINER* | \
                options--env=STORAGE_* | options--env=REGISTRY_*)
                launch_own "${launch_word#--env=}" ;;
        esac
    done
    rm -f "$launch_job/reason"

    launch_image='' launch_words='' launch_tried=''
    while [ "$1" != -- ]; do # the first that can be had
        if [ -z "$launch_image$launch_stopped" ] && launch_get "$1"; then launch_image=$1; fi
        shift
    done
    shift
    [ -z "$launch_stopped" ] || return 143
    if [ -z "$launch_image" ]; then
        case $launch_words in
            *'annot connect to the '*) launch_because system "$launch_tried" ;;
            *) launch_because image "$launch_tried" ;;
        esac
        return 125
    fi

    launch_part=options launch_bound='' launch_volume=0 launch_limited=''
    for launch_word do
        shift
        case $launch_part$launch_word in
            options--) launch_part=command launch_word=$launch_image ;;
            options--bind=*) launch_mount "${launch_word#*=}" "${launch_word#*=}" ;;
            options--volume-at=*)
                launch_volume=$((launch_volume + 1))
                mkdir -p "$launch_job/volumes/$launch_volume"
                launch_mount "$launch_job/volumes/$launch_volume" "${launch_word#*=}" ;;
            options--memory=* | options--memory-reservation=* | options--cpus=*) launch_limited=yes ;;
            options--input=*) launch_input "${launch_word#*=}" || continue ;;
            options--env=*=*) ;;
            options--env=*)
                eval "[ -z \"\${launch_task_${launch_word#*=}+set}\" ] || launch_word=\$launch_word=\$launch_task_${launch_word#*=}" ;;
        esac
        set -- "$@" "$launch_word"
    done
    for launch_word in $launch_passed; do set -- "--env=$launch_word" "$@"; done # the task's own come later, and count
    if ! launch_is daemon && [ -n "$launch_limited" ] && [ "$(id -u)" != 0 ] && [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
        launch_because launch_failure 'without root, '"$launch_program"' bounds containers only where cgroups are of version 2'
        return 125
    fi
    launch_is keep || set -- --log-driver=none "$@"
    set -- --name "$launch_name" --label "adapter.run=$launch_run" --label "adapter.token=$launch_token" \
        --label "adapter.job=$launch_id" --interactive --pull=never "$@"
    launch_tries=1
    printf '%s\n' "$launch_name" >"$launch_job/container"
    while rm -f "$launch_job/container.id"; do
        launch_tool run --cidfile "$launch_job/container.id" "$@"
        launch_code=$?
        if [ -s "$launch_job/container.id" ] || [ -n "$launch_stopped" ]; then break; fi
        # It was not made, and the engine is asked why. What was only a hiccup, or the rest of a lost try, goes away.
        if ! launch_ask create "$@"; then
            case $launch_words in
                *'already in use'*) ;;
                *) launch_end launch_failure "$launch_words"; return 125 ;;
            esac
        fi
        launch_tool rm --force "$launch_name" >/dev/null
        [ "$launch_tries" -lt 3 ] || { launch_end launch_failure "no container was made: $launch_words"; return 125; }
        launch_tries=$((launch_tries + 1))
    done
    for launch_look in first second; do
        if ! launch_ask inspect --format 'state: {{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}' "$launch_name"; then
            [ "$launch_code" != 0 ] || launch_code=125
            case $launch_stopped$launch_words in
                yes*) launch_end ;;
                *'o such object'* | *'o such container'*) launch_end killed_by_other "somebody removed container $launch_name" ;;
                *) launch_end system "$launch_words" ;;
            esac
            return "$launch_code"
        fi
        read -r launch_status launch_exit launch_oom launch_error <<STATE
${launch_words#*state: }
STATE
        [ "$launch_exit$launch_stopped$launch_look" = 137first ] || break
        sleep 1 # whoever killed it may be about to remove it
    done
    case "$launch_oom $launch_exit $launch_limited $launch_stopped" in
        'false 137 yes ') launch_oom=$(launch_look_again) ;;
    esac
    case $launch_status in
        exited | stopped)
            if [ "$launch_oom" = true ]; then # what was killed may be a child, whose parent ends well without it
                launch_end out_of_memory "the container used up the memory that it may have"
                [ "$launch_exit" != 0 ] || launch_exit=137
            elif [ "$launch_exit" = 0 ] && [ "$launch_code" != 0 ]; then
                launch_end system "the client of the engine ended with exit code $launch_code"
                launch_exit=$launch_code
            else
                launch_end
            fi ;;
        created | configured | initialized) # it could not be started
            launch_exit=$launch_code
            case $launch_exit$launch_stopped in
                126 | 127 | *yes) launch_end ;;
                *)
                    [ -n "$launch_error" ] || launch_ask start "$launch_name" || launch_error=$launch_words
                    launch_exit=125
                    launch_end launch_failure "$launch_error" ;;
            esac ;;
        removing | dead)
            [ "$launch_exit" != 0 ] || launch_exit=137
            launch_end ${launch_stopped:-killed_by_other} "somebody removed container $launch_name" ;;
        *) # it goes on, and nobody is with it
            launch_exit=$launch_code
            [ "$launch_exit" != 0 ] || launch_exit=125
            launch_end ${launch_stopped:-system} "the client of the engine ended with exit code $launch_code" ;;
    esac
    return "$launch_exit"
}

launch_own() { # launch_own NAME: put the value of the task aside, and have the one from before again
    eval "launch_task_$1=\$$1"
    if launch_word=$(unset "$1"; eval "$launch_env"; eval "[ -n \"\${$1+set}\" ] && printf %s. \"\$$1\""); then
        eval "export $1=\${launch_word%.}"
    else
        unset "$1"
    fi
}

launch_timed() { # launch_timed ARGUMENTS...: print what the engine says; one that does not answer is given up
    launch_exec "$@" 2>&1 </dev/null &
    launch_asked=$!
    {
        launch_number=0
        while sleep 1 && [ "$launch_number" -lt "$launch_timeout" ]; do launch_number=$((launch_number + 1)); done
        kill -s TERM "$launch_asked"
        sleep 5
        kill -s KILL "$launch_asked"
    } </dev/null >/dev/null 2>&1 &
    launch_watch=$!
    wait "$launch_asked"
    launch_number=$?
    kill "$launch_watch" 2>/dev/null
    case $launch_number in 137 | 143) echo "given up after $launch_timeout s without an answer" ;; esac
    return "$launch_number"
}

launch_ask() { # launch_ask ARGUMENTS...: what the engine says, in launch_words; again while it is only busy
    for launch_pause in $launch_pauses ''; do
        launch_words=$(launch_timed "$@") && return
        [ -n "$launch_pause" ] && [ -z "$launch_stopped" ] || return 1
        case $launch_words in
            *toomanyrequests* | *'oo many requests'* | *'oo Many Requests'* | *timeout* | *'timed out'* | *'imeout exceeded'* | \
                *'TLS handshake'* | *'onnection refused'* | *'onnection reset'* | *'no such host'* | *unreachable* | *EOF* | \
                *'deadline exceeded'* | *'server misbehaving'* | *'in name resolution'* | *'roken pipe'* | *' 50'[0-9]* | \
                *'navailable'* | *'Bad Gateway'* | *'nternal Server Error'* | *'annot connect to the '* | *'during connect'*) ;;
            *) return 1 ;;
        esac
        sleep "$launch_pause"
    done
}

launch_look_again() { # whether memory ran out where a container was killed: seen to be known later than its end
    launch_is tells_oom || { echo true; return; }
    for launch_pause in 0 1 2; do
        sleep "$launch_pause"
        launch_ask events --since 1h --until "$(date +%s)" --filter event=oom --filter container="$launch_name"
        [ -z "$launch_words" ] || { echo true; return; }
    done
    echo false
}

launch_get() { # launch_get IMAGE: have it here
    [ "$launch_policy" = always ] || ! launch_ask image inspect "$1" || return 0
    [ "$launch_policy" = never ] || ! launch_ask pull --quiet "$1" || return 0
    launch_tried="${launch_tried:+$launch_tried; }$1: $(launch_line "$launch_words")"
    return 1
}

launch_mount() { # launch_mount SOURCE TARGET [,readonly]: the option for it, in launch_word; only once for a target
    case $launch_bound in *"|$2|"*) return 1 ;; esac
    launch_bound="$launch_bound|$2|"
    launch_word="--mount=type=bind,\"source=$(launch_double "$1")\",\"target=$(launch_double "$2")\"${3-}"
}

launch_input() { # launch_input PATH: the option that shows it as it is, or, if it is a link, what it leads to
    case $1 in */. | */./) return 1 ;; esac # the folder that is shown anyway
    if [ -h "$1" ]; then
        launch_word=$(readlink "$1")
        [ -e "$launch_word" ] && launch_mount "$launch_word" "$launch_word" ,readonly
    else
        launch_is read_only_inputs && [ -e "$1" ] && launch_mount "$1" "$1" ,readonly
    fi
}

launch_double() { printf %s "$1" | sed 's/"/""/g'; }

launch_line() { printf %s "$1" | grep -v -e '^[[:space:]]*$' -e '^See ' | tail -n 1 | tr -d '\r' | cut -c 1-400; }

launch_because() { # launch_because REASON WORDS: why the job fails, for its exit file
    launch_words=$(launch_line "$2")
    echo "$launch_words" >&2
    [ -n "${launch_ignored-}" ] || printf '%s\n' "$1" "$launch_words" >"$launch_job/reason"
}

launch_end() { # launch_end [REASON WORDS]: the container is no longer needed
    [ -z "${1-}" ] || [ "$1" = yes ] || launch_because "$1" "$2"
    if launch_is keep || launch_ask rm --force --volumes "$launch_name"; then
        rm -f "$launch_job/container" "$launch_job/container.id"
    else
        case $launch_words in
            *'o such container'*) rm -f "$launch_job/container" "$launch_job/container.id" ;;
            *) echo "container $launch_name was left behind: $(launch_line "$launch_words")" >&2 ;;
        esac
    fi
}
