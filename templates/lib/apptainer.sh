# shellcheck shell=sh disable=SC2016,SC3045 # sed's words; ulimit -v is no POSIX, and known by dash, bash and busybox
# Steps in images of Apptainer. An image is fetched once for a cache folder, by the first job that needs it.
# The script says how, by use_images, and defines launch_exec and launch_pull_exec where there are more options.

use_images() { # use_images SETTING=VALUE|bounded...: in the shell of the steps, after the prologue
    launch_env=$(export -p) launch_passed='' launch_stopped='' launch_bounded=''
    for launch_word do
        case $launch_word in
            program=*) launch_name=${launch_word#*=} ;;
            prefix=*) launch_prefix=${launch_word#*=} ;;         # of the program's own variables
            job=*) launch_job=${launch_word#*=} ;;
            cache=*) launch_cache=${launch_word#*=} ;;
            layers=*) launch_layers=${launch_word#*=} ;;         # the program's own cache; empty: none
            folder=*) launch_folder=${launch_word#*=} ;;         # where images are put together; empty: its own
            pull=*) launch_policy=${launch_word#*=} ;;           # missing, never
            timeout=*) launch_timeout=${launch_word#*=} ;;       # seconds for one try
            pauses=*) launch_pauses=${launch_word#*=} ;;         # seconds between tries, a list
            dead_after=*) launch_dead_after=${launch_word#*=} ;; # seconds without a sign of life of who fetches
            pass_env=*) launch_passed=$(launch_pass "${launch_word#*=}") ;; # names and patterns, a list
            bounded) launch_bounded=1 ;;                         # the memory of steps is, by ulimit
        esac
    done
    launch_program=$(command -v "$launch_name") || launch_program=
}

launch_exec() { exec "$launch_program" "$@"; }

launch_tool() { (launch_exec "$@"); }

launch_pull_exec() { launch_exec pull --disable-cache "$@"; }

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

in_image() { # in_image IMAGE... -- NAME... -- OPTION... -- COMMAND...: run COMMAND with the variables NAME inside
    trap 'launch_stopped=yes' TERM INT HUP # it reaches the step, too, which ends first
    rm -f "$launch_job/reason"
    if [ -z "$launch_program" ]; then
        launch_because launch_failure "$(uname -n) has no $launch_name on its PATH: load it in the backend's prologue, or give its path as values.program"
        return 125
    fi
    # The program needs more than a step may have: the step is bounded inside.
    [ -z "$launch_bounded" ] || ulimit -S -v "$(ulimit -H -v)"
    for launch_word in $launch_passed; do eval "export ${launch_prefix}ENV_$launch_word=\$$launch_word"; done
    launch_part=images
    for launch_word do # the variables are for the inside only: outside they are again what they were
        case $launch_part$launch_word in
            imagesnames--) break ;;
            *--) launch_part=${launch_part}names ;;
            imagesnames*) launch_own "$launch_word" ;;
        esac
    done
    export "${launch_prefix}_NO_EVAL=1" # or the values would be read by a shell

    launch_image='' launch_tried='' launch_reason=image
    while [ "$1" != -- ]; do # the first that can be had
        if [ -z "$launch_image$launch_stopped" ]; then launch_get "$1"; fi
        shift
    done
    [ -z "$launch_stopped" ] || return 143
    shift
    while [ "$1" != -- ]; do shift; done
    shift
    if [ -z "$launch_image" ]; then
        launch_because "$launch_reason" "$launch_tried"
        return 125
    fi

    launch_part=options launch_volume=0
    for launch_word do
        shift
        case $launch_part$launch_word in
            options--) launch_part=command launch_word=$launch_image ;;
            options--input=*) launch_link "${launch_word#*=}" || continue ;;
            options--work=*) launch_show "${launch_word#*=}" "${launch_word#*=}" ;;
            options--volume-at=*)
                launch_volume=$((launch_volume + 1))
                mkdir -p "$launch_job/volumes/$launch_volume"
                launch_show "$launch_job/volumes/$launch_volume" "${launch_word#*=}" ;;
        esac
        set -- "$@" "$launch_word"
    done
    rm -rf "$launch_job/tmp" # its /tmp and its home
    mkdir "$launch_job/tmp"
    launch_said=
    [ ! -f /proc/self/fd/2 ] || launch_said=$(wc -c </proc/self/fd/2)
    launch_tool exec --containall --cleanenv --workdir="$launch_job/tmp" "$@"
    launch_code=$?
    rm -rf "$launch_job/tmp" 2>/dev/null
    [ -n "$launch_stopped" ] || launch_explain
    return "$launch_code"
}

launch_own() { # launch_own NAME: hand the value of the task inside, and have the one from before again
    eval "export ${launch_prefix}ENV_$1=\$$1"
    if launch_word=$(unset "$1"; eval "$launch_env"; eval "[ -n \"\${$1+set}\" ] && printf %s. \"\$$1\""); then
        eval "export $1=\${launch_word%.}"
    else
        unset "$1"
    fi
}

launch_show() { # launch_show SOURCE TARGET [ro]: the option for it, in launch_word
    case $1$2 in
        *[,:\"\\]*) # --bind would split it there; --mount reads CSV, and old programs do not know it
            launch_word="--mount=type=bind,\"source=$(launch_double "$1")\",\"destination=$(launch_double "$2")\"${3+,ro}" ;;
        *) launch_word=--bind=$1:$2${3+:ro} ;;
    esac
}

launch_double() { printf %s "$1" | sed 's/"/""/g'; }

launch_link() { # launch_link PATH: the option that shows what an input leads to
    [ -h "$1" ] || return
    launch_word=$(readlink "$1")
    [ -e "$launch_word" ] && launch_show "$launch_word" "$launch_word" ro
}

launch_explain() { # whether it was the program that failed, and not the step: its last words say so
    case $launch_code in
        255)
            [ -n "$launch_said" ] || return 0
            launch_words=$(tail -c +$((launch_said + 1)) /proc/self/fd/2 | launch_last | sed -n 's/^FATAL[: ] *//p') ;;
        2) # a Go program that cannot have its memory or its threads
            launch_words=$("$launch_program" --version 2>&1 >/dev/null) && return
            launch_words="it does not start (address space: $(ulimit -v) kB): $(printf %s "$launch_words" | head -n 1)" ;;
        *) return 0 ;;
    esac
    case $launch_words in
        '') return ;; # the step's own exit code
        *superblock* | *'open image'* | *'mage format'*) launch_reason=image ;;
        'container creation failed'*) launch_reason=launch_failure ;;
        *'executable file not found'* | 'stat '*': no such file or directory' | 'exec '*': no such file or directory')
            launch_code=127
            return ;;
        'exec '*'permission denied' | '"'*'": permission denied')
            launch_code=126
            return ;;
        *) launch_reason=launch_failure ;;
    esac
    launch_because "$launch_reason" "$launch_name: $launch_words" 2>/dev/null # they stand there already
    launch_code=125
}

launch_get() { # launch_get IMAGE: its file in launch_image, fetched once for all jobs
    case $1 in
        docker://* | library://* | oras://*) ;;
        *)
            case $1 in \~/*) set -- "$HOME/${1#*/}" ;; esac
            if [ -r "$1" ]; then
                launch_image=$1
            elif [ -e "$1" ]; then
                launch_failed "$1" 'you may not read it'
            else
                launch_failed "$1" 'no such file'
            fi
            return ;;
    esac
    launch_sif=$launch_cache/$(printf %s "${1#*://}" | tr -c 'A-Za-z0-9._-' _ | cut -c 1-100)-$(printf %s "$1" | cksum | cut -d ' ' -f 1).sif
    launch_part_file=$launch_sif.part.$(uname -n).$$
    launch_seen='' launch_waited=0 launch_refused=$(cat "$launch_sif.refused" 2>/dev/null) launch_denied=0
    until [ -e "$launch_sif" ]; do
        if [ "$launch_policy" = never ]; then
            launch_failed "$1" "there is no $launch_sif"
            return
        fi
        if launch_words=$({ mkdir -p "$launch_cache" && mkdir "$launch_sif.lock"; } 2>&1); then
            [ -e "$launch_sif" ] || launch_pull "$1" || launch_failed "$1" "$launch_words"
            rm -rf "$launch_sif.lock" "$launch_part_file"
            [ -e "$launch_sif" ] || return
        elif [ ! -e "$launch_sif.lock" ] && { [ "$launch_denied" = 3 ] || [ ! -d "$launch_cache" ]; }; then # nobody is at it, and it cannot be made
            launch_failed "$1" "cannot write to the cache $launch_cache: $launch_words"
            return
        else # somebody else is at it: wait as long as there are signs of life
            sleep 1
            [ -z "$launch_stopped" ] || return
            launch_denied=$((launch_denied + 1))
            [ ! -e "$launch_sif.lock" ] || launch_denied=0
            launch_words=$(cat "$launch_sif.refused" 2>/dev/null)
            if [ ! -e "$launch_sif.lock" ] && [ ! -e "$launch_sif" ] && [ "${launch_words:-$launch_refused}" != "$launch_refused" ]; then
                launch_failed "$1" "$launch_words" # what the other was told holds for this job, too
                return
            fi
            launch_sign=$(cat "$launch_sif.lock/sign" 2>/dev/null)
            if [ "$launch_sign" != "$launch_seen" ]; then launch_waited=0; fi
            launch_seen=$launch_sign launch_waited=$((launch_waited + 1))
            if [ "$launch_waited" -ge "$launch_dead_after" ] && mv "$launch_sif.lock" "$launch_sif.dead.$$" 2>/dev/null; then
                rm -rf "$launch_sif.dead.$$"
                launch_waited=0
            fi
        fi
    done
    launch_image=$launch_sif
}

launch_pull() { # launch_pull IMAGE: into its place in one move; the words of a refusal in launch_words
    if [ -n "$launch_layers" ]; then export "${launch_prefix}_CACHEDIR=$launch_layers"; fi
    if [ -n "$launch_folder" ]; then
        export "${launch_prefix}_TMPDIR=$launch_folder"
        mkdir -p "$launch_folder"
    fi
    for launch_pause in $launch_pauses ''; do
        [ -z "$launch_stopped" ] || return 1
        rm -f "$launch_job/pull.late"
        launch_pull_exec --force "$launch_part_file" "$1" >"$launch_job/pull" 2>&1 </dev/null &
        launch_puller=$!
        launch_beat "$launch_sif.lock" "$launch_puller" </dev/null >/dev/null 2>&1 &
        launch_beats=$!
        wait "$launch_puller"
        launch_code=$?
        while kill -0 "$launch_puller" 2>/dev/null; do
            wait "$launch_puller"
            launch_code=$?
        done
        kill "$launch_beats" 2>/dev/null
        launch_words=$(cat "$launch_job/pull")
        if [ "$launch_code" = 0 ] && mv -f "$launch_part_file" "$launch_sif"; then
            rm -f "$launch_sif.refused"
            return
        fi
        [ -n "$launch_pause" ] && [ ! -e "$launch_job/pull.late" ] && [ -z "$launch_stopped" ] || break
        case $launch_words in
            *toomanyrequests* | *'oo many requests'* | *'oo Many Requests'* | *timeout* | *'timed out'* | *'deadline exceeded'* | \
                *'TLS handshake'* | *'onnection refused'* | *'onnection reset'* | *'no such host'* | *'in name resolution'* | \
                *unreachable* | *EOF* | *' 50'[0-9]* | *navailable* | *'Bad Gateway'* | *'nternal Server Error'*) ;;
            *) break ;;
        esac
        sleep "$launch_pause"
    done
    [ -z "$launch_stopped" ] || return 1
    launch_words=$(printf '%s\n' "$launch_words" | launch_last)
    if [ -e "$launch_job/pull.late" ]; then
        launch_words="not fetched within $launch_timeout s (values.pull_timeout); the last words: ${launch_words:-none}"
    else
        case $launch_code-$launch_words in
            137-* | *'signal: killed'*) # that is about this job, and no answer of the registry: the next one tries itself
                launch_reason=out_of_memory
                launch_words='the memory that this job may have is too little to convert the image: ask for more ram, or fetch it before'
                return 1 ;;
        esac
    fi
    printf '%s\n' "$launch_job" "${launch_words:=exit code $launch_code}" >"$launch_sif.refused"
    return 1
}

launch_beat() { # launch_beat LOCK PULL: signs of life, as long as this job lives; a pull that takes too long is ended
    launch_number=0
    while kill -0 $$ && [ -d "$1" ]; do
        echo "$$ $launch_number" >"$1/sign"
        if [ "$launch_number" -ge "$launch_timeout" ]; then
            : >"$launch_job/pull.late"
            kill -s TERM "$2"
            sleep 5
            kill -s KILL "$2"
        fi
        sleep 2
        launch_number=$((launch_number + 2))
    done
}

launch_last() { # the last line that is no news of its progress
    tr '\r' '\n' | grep -v -e '^[[:space:]]*$' -e '^INFO' -e '^WARN' -e '^VERBOSE' -e '^DEBUG' | tail -n 1
}

launch_failed() { # launch_failed IMAGE WORDS
    launch_tried="${launch_tried:+$launch_tried; }$1: $(printf %s "$2" | grep -v '^[[:space:]]*$' | tail -n 1)"
}

launch_because() { # launch_because REASON WORDS: why the job fails, for its exit file
    launch_words=$(printf %s "$2" | tr '\r\n' '  ' | cut -c 1-400)
    echo "$launch_words" >&2
    [ -n "${launch_ignored-}" ] || printf '%s\n' "$1" "$launch_words" >"$launch_job/reason"
}
