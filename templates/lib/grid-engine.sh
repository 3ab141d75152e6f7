# shellcheck shell=sh

# show_records ID...: a line for each that accounting knows.
# qacct takes one id, and reads the whole accounting file for it: from four jobs on, all of the user's are read once.
# A job that was run again has several records: the last one counts. An ended job without one was deleted while queued,
# or accounting is not written yet.
show_records() {
    if [ $# -gt 3 ]; then
        qacct -o "$(id -un)" -j
    else
        for job in "$@"; do
            case $job in
                *.*) qacct -j "${job%%.*}" -t "${job#*.}" ;;
                *) qacct -j "$job" ;;
            esac
        done
    fi | awk -v wanted="$*" '
        function end_of_record(   id) {
            id = value["jobnumber"]
            if (value["taskid"] ~ /^[0-9]+$/) id = id "." value["taskid"]
            if (id in asked && "exit_status" in value)
                line[id] = id "|" value["failed"] + 0 "|" value["exit_status"] + 0 "|" value["ru_wallclock"] "|" \
                    value["cpu"] "|" value["ru_utime"] "|" value["ru_stime"] "|" value["maxrss"] "|" value["failed"]
            split("", value)
        }
        BEGIN { count = split(wanted, ids, " "); for (i = 1; i <= count; i++) asked[ids[i]] }
        /^====/ { end_of_record(); next }
        { name = $1; $1 = ""; value[name] = substr($0, 2) }
        END { end_of_record(); for (i = 1; i <= count; i++) if (ids[i] in line) print line[ids[i]] }'
}
