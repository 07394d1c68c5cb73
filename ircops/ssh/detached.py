"""What runs on the host of a detached command: its leader, and who starts it, follows it and throws its traces away."""

# Its leader. TERM is for the command; this shell stays to write down how it ended, and the two that put its
# output away to take its last words. The limit (ulimit -f) is on the writer alone; what comes then is counted.
LEADER = """\
trap : TERM HUP INT
dir=$1 line=$2 stat=
{ read -r stat </proc/$$/stat; } 2>/dev/null
set -- ${stat##*) }
echo "$$ ${20:--}" >"$dir/new" && mv "$dir/new" "$dir/pid" || exit
keep() {
    (trap '' TERM HUP INT XFSZ; ulimit -c 0; ulimit -f 131072; exec cat) >>"$1" 2>/dev/null
    (trap '' TERM HUP INT; exec wc -c) >"$1.more"
}
{ trap : TERM HUP INT
    { trap : TERM HUP INT
        "${SHELL:-sh}" -c "$line" <"$dir/in" 3>&-
        echo $? >"$dir/code"
    } 2>&1 >&3 3>&- | keep "$dir/err"
} 3>&1 | keep "$dir/out"
mv "$dir/code" "$dir/exit"
"""

# $0 the word, $1 what to do, $2 $3 how much of each stream is known, $4 the line, $5 the leader. What ended a week
# ago, or began a month ago and does not run, nobody will come for. Ends by a signal if the leader did without an exit
# code, and by itself when the connection has gone (its parent is then another).
SCRIPT = """\
umask 077
export SHLVL=1
root=${XDG_STATE_HOME:-$HOME/.local/state}/ircops/jobs
dir=$root/$0 todo=$1 out=$2 err=$3 line=$4 leader=$5 pid= born= stat=
runs() {
    stat=
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null
    [ "$stat" ] || { [ ! -r /proc/$$/stat ] && kill -s 0 "$pid" 2>/dev/null; return; }
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "${20}" = "$born" ]
}
nap() { sleep 0.1 2>/dev/null || sleep 1; }
if [ "$todo" = forget ]; then
    { read -r pid born <"$dir/pid"; } 2>/dev/null
    [ "$pid" ] && runs || rm -rf "$dir"
    exit
fi
if [ "$todo" = start ]; then
    mkdir -p "$root" || exit
    find "$root" -path '*/exit' -mtime +7 2>/dev/null | while read -r old; do
        rm -rf "${old%/exit}"
    done
    find "$root" -path '*/pid' -mtime +30 2>/dev/null | while read -r old; do
        read -r pid born <"$old"
        runs || rm -rf "${old%/pid}"
    done
    if mkdir "$dir" 2>/dev/null; then
        cat >"$dir/in" && : >"$dir/out" && : >"$dir/err" || exit
        setsid=$(command -v setsid) || set -m
        IRCOPS_RUN=$0 IRCOPS_STATE=$dir ${setsid:-nohup} sh -c "$leader" "$0" "$dir" "$line" </dev/null >/dev/null 2>&1 &
    fi
fi
tries=0
until [ -s "$dir/pid" ] || [ ! -d "$dir" ] || [ $tries = 50 ]; do
    tries=$((tries + 1))
    nap
done
[ -s "$dir/pid" ] || exit 72
read -r pid born <"$dir/pid"
echo "$0 $pid $born -" >&2
[ "$todo" = find ] && exit
more() {
    size=$(($(wc -c <"$1")))
    [ "$size" -le "$2" ] || tail -c +$(($2 + 1)) "$1" | head -c $((size - $2))
}
lost() {
    read -r lost <"$1.more" && [ "$lost" -gt 0 ] && printf '\\n(... %s bytes more were not kept there)\\n' $lost
} 2>/dev/null
parent=
while :; do
    over=
    [ ! -e "$dir/exit" ] && runs || over=yes
    more "$dir/out" "$out"
    out=$size
    more "$dir/err" "$err" >&2
    err=$size
    [ "$over" ] && break
    stat=
    { read -r stat </proc/$$/stat; } 2>/dev/null
    set -- ${stat##*) }
    [ "${parent:=$2}" = "$2" ] || exit
    tries=$((tries + 1))
    if [ $tries -lt 20 ]; then nap; else sleep 1; fi
done
lost "$dir/out"
lost "$dir/err" >&2
[ -e "$dir/exit" ] || kill -s KILL $$
exit $(($(cat "$dir/exit")))
"""
