# shellcheck shell=sh
# The workspace: made, entered, and asked what there is on the machine.

enter_workspace() { # enter_workspace PATH
    (umask 077 && mkdir -p "$1") && cd -P "$1" || exit 73
}

tell_library() { # tell_library CONTENT...: which of them are in the store
    for content do [ ! -f ".files/store/$content" ] || echo "library $content"; done
}

tell_machine() {
    echo "cpu $(getconf _NPROCESSORS_ONLN)"
    awk '/^MemTotal/ { printf "ram %.0f\n", $2 * 1024 }' /proc/meminfo
}

use_programs() { # use_programs [NAME PATH]...: what the backend file gives in place of what stands on the PATH
    [ $# = 0 ] || mkdir -p .programs
    while [ $# -gt 0 ]; do
        ln -sfn "$2" ".programs/$1"
        shift 2
    done
    PATH=$PWD/.programs:$PATH
}

tell_missing() { # tell_missing NAME_OR_PATH...
    for needed do
        case $needed in
            /*) [ -x "$needed" ] ;;
            *) command -v "$needed" >/dev/null ;;
        esac || echo "missing $needed"
    done
}

tell_programs() { # tell_programs NAME...: where each is; nothing behind the name where it is missing
    for needed do echo "$needed $(command -v "$needed")"; done
}

tell_places() { # tell_places [NAME PATH]...: the same for programs that the backend file gives a place
    while [ $# -gt 0 ]; do
        [ -x "$2" ] && echo "$1 $2" || echo "$1 "
        shift 2
    done
}

# ---- for `adapter check` -----------------------------------------------------------------------------------------

tell_workspace() { # tell_workspace FILE: whether FILE can be written here, and how much room there is
    echo "workspace $(pwd -P)"
    (umask 077 && echo probe >"$1") && [ -s "$1" ] && echo "writable yes"
    rm -f "$1"
    echo "space $(df -Pk . | tail -n 1)"
}

tell_mkdir() { # whether mkdir(1) knows -p, also where the folder is there already
    scratch=${TMPDIR:-/tmp}/adapter-check.$$
    (umask 077 && mkdir "$scratch" && mkdir -p "$scratch/a/b" && mkdir -p "$scratch/a/b") && echo mkdir-p yes
    rmdir "$scratch/a/b" "$scratch/a" "$scratch"
}
