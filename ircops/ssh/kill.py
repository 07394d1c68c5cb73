"""Ending what runs on a host, and seeing that it ended: a group of its own, a mark to know it by, a second channel."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ircops.errors import OpsError
from ircops.ssh.keys import FAULTS
from ircops.ssh.quoting import quoted

if TYPE_CHECKING:  # a pool has shells, which carry marks
    from ircops.ssh.pool import Pool

TIME = 4.0  # seconds a kill may take in all; a job's thread gets five
AHEAD = (
    65536  # bytes of stderr that are searched for the mark: what start-up files say comes before it
)

NOTE = 500  # characters; some syslogs cut a line at 1024 bytes

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOLD = re.compile(
    rb"([0-9a-f]{32}) (\d+) (.*)\n"
)  # of any word: to compile one each costs more than all else

# Run by whatever login shell there is, so the line is an argument. OpenSSH makes a session for each command;
# other servers do not all. setsid forks in a group leader only, which it is not where it is called.
# SHLVL: bash, as a child of sshd, has read ~/.bashrc already, and would once more.
# Told on stderr before all else: the mark, the leader's pid, when that was born (in ticks since the host was), and
# the login shell if the server had made the session.
# One line without `!`, for csh's sake (see quoting).
START = """\
export SHLVL=1; line=$1 stat=;
{ read -r stat </proc/$$/stat; } 2>/dev/null;
set -- ${stat##*) };
[ "$stat" ] || set -- - - $(ps -o pgid= -p $$ 2>/dev/null);
if [ "$3" = $$ ] || command -v setsid >/dev/null; then :; else
    set -m 2>/dev/null;
    case $- in *m*)
        "${SHELL:-sh}" -c "$line" <&0 &
        eval "child=\\$$(printf "\\041")"; echo "$0 $child - -" >&2; wait $child; exit ;;
    esac;
    exec "${SHELL:-sh}" -c "$line";
fi;
[ "$3" = $$ ] && echo "$0 $$ ${20:--} $SHELL" >&2 && exec "${SHELL:-sh}" -c "$line";
echo "$0 $$ ${20:--} -" >&2;
exec setsid "${SHELL:-sh}" -c "$line"
""".replace("\n", " ")

# The same where both are known to be there, a session and a POSIX login shell: it costs no process more.
LED = """\
{ read -r IRCOPS_RUN </proc/$$/stat; } 2>/dev/null; echo "%(word)s $$ ${IRCOPS_RUN:-lost}" >&2; %(export)s%(line)s"""
POSIX = frozenset("sh ash bash dash ksh mksh zsh".split())

# What lives of it: members of the group, and who has the mark in its environment, wherever it went. The first
# finds candidates with three processes for all of /proc; as an environment may hold any text, each is asked again.
# A leader that was born at another time is a stranger with a used pid. Two empty looks are a proof: one could
# fall between a fork and a death.
KILLER = """\
export LC_ALL=C
run=IRCOPS_RUN=$0 group=$1 born=$2
look() {
    left=
    if [ ! -r /proc/$$/environ ]; then
        left=$(ps -axo pid=,pgid=,stat= || echo "$group" "$group" R)
        left=$(echo "$left" | awk -v g="$group" '$2 == g && $3 !~ /^Z/ { print $1 }')
        return
    fi
    stat=
    [ "$group" ] && { read -r stat </proc/$group/stat; } 2>/dev/null
    set -- ${stat##*) }
    [ "$born" = - ] || [ "${20:-$born}" = "$born" ] || group=
    [ "$group" ] && left=$(cat /proc/[0-9]*/stat 2>/dev/null |
        sed -n "s/^\\([0-9]*\\) (.*) [^ZX] [0-9]* $group .*/\\1/p")
    for pid in $(head -c 131072 /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | awk -v run="$run" '
        /^==> .proc.[0-9]*.environ <==$/ { split($2, part, "/") } $0 == run { print part[3] }'); do
        { tr '\\0' '\\n' </proc/$pid/environ | grep -qx "$run"; } 2>/dev/null && left="$left $pid"
    done
    case $left$(kill -s 0 -- "-$group" 2>&1) in
    *ermitted*) left=${left:-$group} ;; # it is somebody else's, and hidden from us (hidepid)
    esac
}
is_gone() { look; [ -z "$left" ] && look && [ -z "$left" ]; }
tell() {
    for pid in $left; do kill -s "$1" "$pid"; done 2>/dev/null
    [ "$group" ] && kill -s "$1" -- "-$group" 2>/dev/null
}
nap() { sleep 0.1 2>/dev/null || sleep 1; }
is_gone && echo gone && exit
tell TERM
tell CONT
for try in 1 2 3 4 5 6 7 8; do
    nap
    is_gone && echo gone && exit
done
for try in 1 2 3 4 5 6; do
    tell KILL
    nap
    is_gone && echo gone && exit
done
echo left $left
"""


class Mark:
    """What one command on one host is known by: a word in its environment, and its leader's pid once it told it."""

    def __init__(self, word: str = "") -> None:
        self.word = word or secrets.token_hex(16)
        self.pid = 0  # 0: not told, so nothing can be proved
        self.noise = 0  # bytes that stood before it
        self.is_led = False  # on a host where LED will do, as it told
        self._born = "-"
        self._ahead: bytes | None = b""  # of stderr, while the mark has not come

    def line(
        self, line: str, environment: Mapping[str, str], is_led: bool = False, note: str = ""
    ) -> str:
        """The line that starts `line` under this mark, for any login shell, or a cheaper one that `is_led` there.

        The host's own log gets `note`; nothing waits for that, or fails where there is no logger.

        The variables are set there: sent apart, sshd drops most without a word (AcceptEnv).
        Raises ValueError for a name that is none.
        """
        export = with_environment(noted(note), {**environment, "IRCOPS_RUN": self.word})
        if is_led:
            return LED % {"word": self.word, "export": export, "line": line}
        return quoted(["sh", "-c", export + START, self.word, line])

    def expect(self) -> None:
        """It will be told once more, by another channel."""
        self._ahead = b""

    @property
    def is_told(self) -> bool:
        return self._ahead is None and self.pid > 0

    def strip(self, piece: bytes) -> bytes:
        """Take the mark out of what comes on stderr; what is held back comes with a later piece, or `rest`."""
        if self._ahead is None:
            return piece
        self._ahead += piece
        word = self.word.encode()
        found = next((told for told in _TOLD.finditer(self._ahead) if told[1] == word), None)
        if found:
            self.noise = found.start()
            self._hear(int(found[2]), found[3].decode(errors="replace"))
        elif len(self._ahead) < AHEAD:
            return b""
        ahead, self._ahead = self._ahead, None
        return ahead[: found.start()] + ahead[found.end() :] if found else ahead

    def _hear(self, pid: int, told: str) -> None:
        """Take what START or LED told after the mark."""
        born, _, shell = told.partition(" ")
        if ") " in told:  # proc(5): the second word, in brackets, is a name and may hold anything
            fields = told.rpartition(") ")[2].split()
            born, shell = fields[19], ""
            if int(fields[2]) != pid:
                return
        elif told == "lost":
            return
        self.pid, self._born = pid, born
        self.is_led = born != "-" and shell.rpartition("/")[2] in POSIX

    def rest(self) -> bytes:
        """What was held back of a stream that has ended."""
        ahead, self._ahead = self._ahead or b"", None
        return ahead

    def kill(self, pool: Pool, host: str) -> str:
        """End all that carries this mark: TERM, KILL, look; gives what became of it, in words for people.

        `killed` is said only of what was seen gone. Takes at most about TIME seconds unless the host freezes meanwhile.
        """
        deadline = time.monotonic() + TIME
        left = f"may still run there (pid {self.pid})" if self.pid else "may still run there"
        group = str(self.pid or "")
        try:
            with pool.aside(host, TIME / 2) as channel:
                channel.exec_command(quoted(["sh", "-c", KILLER, self.word, group, self._born]))
                said = _read(channel, deadline).split()
        except OpsError:
            return f"unreachable, {left}"
        except FAULTS:
            return left
        if said == [b"gone"] and self.pid:
            return "killed"
        pids = b" ".join(said[1:3]).decode() if said[:1] == [b"left"] else ""
        return f"may still run there (pid {pids})" if pids else left


def with_environment(line: str, environment: Mapping[str, str]) -> str:
    """Set variables in front of a line of POSIX shell. Raises ValueError for a name that is none."""
    for name in environment:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an environment variable")
    pairs = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join(("export", *pairs)) + "; " + line if pairs else line


def noted(note: str) -> str:
    """The start of a line of POSIX shell that has the host's log take these words; "" for none."""
    if not note:
        return ""
    logger = shlex.join(["logger", "-t", "ircops", "--", note[:NOTE]])
    return f"({logger} </dev/null >/dev/null 2>&1 &); "


def _read(channel: Any, deadline: float) -> bytes:
    """All that comes until its end. Raises TimeoutError, FAULTS."""
    said = b""
    while True:
        channel.settimeout(max(deadline - time.monotonic(), 0.01))
        piece = channel.recv(4096)
        if not piece:
            return said
        said += bytes(piece)
