# shellcheck shell=sh
# Removing what finished jobs left. Each function goes into a folder, looks where it really is, and removes a plain name
# in it: rm(1) takes a name that became a symbolic link meanwhile as the link.
# Answers are lines `found|removed|gone|refused|failed KIB NAME [WORDS]`.

into() { # into FOLDER EXPECTED: go there, if it really is there
    cd -P "$1" && [ "$(pwd -P)" = "$2" ] && return
    echo "$2 is not where it was: this is $(pwd -P)" >&2
    exit 71
}

begin_clean() { # begin_clean WORKSPACE EXPECTED: where the backend file has it now, and where it was
    unset CDPATH
    one_file_system=--one-file-system # where rm(1) knows it: what a job mounted and left there is not ours to empty
    rm -f $one_file_system 2>/dev/null || one_file_system=
    workspace=$2
    into "$1" "$2"
}

size_of() { # size_of NAME: in $size, in KiB
    size=$(du -sk "./$1" 2>/dev/null)
    size=${size%%[!0-9]*}
    size=${size:-0}
}

remove() { # remove NAME
    size_of "$1"
    if why=$(rm -rf $one_file_system "./$1" 2>&1) && [ ! -e "./$1" ]; then
        echo "removed $size $1"
    else
        echo "failed $size $1 $(printf '%s' "$why" | head -n 1)"
    fi
}

# ---- the folders of jobs -----------------------------------------------------------------------------------------

clean_run() { # clean_run list|remove RUN NAME...: list or remove the folders NAME of RUN
    what=$1 run=$2
    shift 2
    if [ -h "./$run" ]; then
        echo "$run is a symbolic link" >&2
        exit 71
    fi
    if [ ! -e "./$run" ]; then
        for name do echo "gone 0 $name"; done
        return
    fi
    into "./$run" "$workspace/$run"
    for name do clean_folder "$name"; done
    into .. "$workspace"
    [ "$what" = list ] || rmdir "./$run" 2>/dev/null
    return 0
}

clean_folder() {
    if [ -h "./$1" ]; then
        echo "refused 0 $1 it is a symbolic link"
    elif [ ! -e "./$1" ]; then
        echo "gone 0 $1"
    elif [ ! -d "./$1" ]; then
        echo "refused 0 $1 it is no folder"
    elif [ "$what" = list ]; then
        size_of "$1"
        echo "found $size $1"
    else
        remove "$1"
    fi
}

# ---- the store: content by its hash, with links from the folders of jobs, and pieces of transfers -----------------

into_files() { # the folder of the store and of transfers
    [ -d ./.files ] && [ ! -h ./.files ] || exit 0
    into ./.files "$workspace/.files"
}

into_store() {
    [ -d ./store ] && [ ! -h ./store ] || exit 0
    into ./store "$workspace/.files/store"
}

list_store() { # what may go, now or once no folder of a job links to it: lines `out|part|unlinked|linked KIB NAME`
    into_files
    # find(1) cuts times to whole days: more than 0 is a day or older
    list out -type d -name 'out-*' -mtime +0
    into_store
    list part ! -type l \( -name '*.part' -o -name '*.part.d' \) -mtime +0
    # Content that nothing has ever linked to may belong to an upload under way, which links it at its end.
    list unlinked -type f ! -name '*.part' -links 1 -cmin +60
    list linked -type f ! -name '*.part' -links +1
}

list() { # list WORD TEST...: what is here and of a name that is ours, by find(1)
    word=$1
    shift
    find . -mindepth 1 -maxdepth 1 ! -name '*[!0-9a-z.-]*' "$@" | while IFS= read -r name; do
        size_of "${name#./}"
        [ ! -e "$name" ] || echo "$word $size ${name#./}"
    done
}

remove_left() { # remove_left NAME...: pieces of transfers
    for name do [ -h "./$name" ] || [ ! -e "./$name" ] || remove "$name"; done
}

remove_content() { # remove_content NAME...: only if nothing links to it now
    for name do [ -z "$(find "./$name" -prune -type f -links 1 2>/dev/null)" ] || remove "$name"; done
}
