# shellcheck shell=sh

watch() { # watch COMMAND NONCE MOST PAUSE: print the first lines of COMMAND, which goes on, and end all it started
    # It runs in a session of its own: the end is a TERM to the whole process group, this shell included. Nothing is
    # printed if nothing is told within MOST seconds; that also bounds what an adapter leaves behind that was killed.
    # What is told within PAUSE seconds of the first line belongs to it.
    trap : TERM
    {
        {
            { (eval "$1") </dev/null 2>&1; printf '\n%s ended %s\n' "$2" "$?"; } &
            # shellcheck disable=SC2217 # it must not hold the standard input of this shell
            sleep "$3" </dev/null
            echo
        } | {
            IFS= read -r line
            printf '%s\n' "$line"
            cat <&3 &
            sleep "$4"
            kill -s TERM 0
        } 3<&0
    } 2>/dev/null
    exit 0
}
