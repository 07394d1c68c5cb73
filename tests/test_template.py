"""Where an argument may stand in a shell line: what is allowed is safe in every shell there is here, by trying it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from ircops import template

SHELLS = [shell for shell in ("dash", "bash", "ksh", "zsh", "busybox") if shutil.which(shell)]
EVIL = [
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "' ; touch pwned; '",
    '" ; touch pwned; "',
    "\n touch pwned\n",
    "\\",
    "\\'; touch pwned #",
    "x[$(touch pwned)]",
    "}; touch pwned; {",
    ")); touch pwned; ((",
    "a`touch pwned`",
]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('echo "{name}"', "write {name} without quotes around it"),
        ("echo '{name}'", "write {name} without quotes around it"),
        ("echo 'it'\"s {name}\"", "without quotes"),
        ('echo "$(echo "x {name}")"', "without quotes"),
        ('echo "`echo {name}`"', "write $(…) for `…` around {name}"),
        ("echo `echo {name}`", "write $(…) for `…` around {name}"),
        ("echo `echo $(echo {name})`", "write $(…) for `…` around {name}"),
        ("echo $((1 + {name}))", "{name} may not stand in $((…))"),
        ("echo $[1 + {name}]", "{name} may not stand in $[…]"),
        ("(( x = {name} ))", "{name} may not stand in ((…))"),
        ("echo ${x:-{name}}", "{name} may not stand in ${…}"),
        ('echo "${x:-{name}}"', "{name} may not stand in ${…}"),
        ("uptime # for {name}", "{name} is in a comment"),
        ("uptime;# {name}", "{name} is in a comment"),
        ("echo \\{name}", "write {name} without the backslash before it"),
        ("echo $'x' {name}", "write '…' for $'…'"),
        ('echo \\"{name}', ""),
        ("echo 'a' {name} \"b\"", ""),
        ("awk '{print $1}' {name}", ""),
        ('echo "${name}"', ""),
        ("echo a#b {name}", ""),
        ('echo "# {other}" $(date) {name}', "without quotes"),
        ('echo "#" `date` $((1 + 2)) ${HOME} {name}', ""),
        ('echo "$(echo {name})"', ""),
        ("echo $(echo {name}) (", ""),
        ("echo $'x'", ""),
    ],
)
def test_a_place_where_quotes_do_not_count_is_refused(line: str, fault: str) -> None:
    said = template.fault(line)
    assert said.startswith(fault) or fault in said if fault else said == ""


PARTS = some.sampled_from(
    r"""{a} {a} {a} ' " ` $( ) (( )) $(( ${x:- } \ # $[ ] ; | x = $' ( $x && echo cat""".split()
)


@pytest.mark.parametrize("shell", SHELLS)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=some.lists(PARTS, min_size=1, max_size=9), between=some.sampled_from(["", " "]))
def test_whatever_the_line_no_argument_is_run(
    shell: str, tmp_path: Path, parts: list[str], between: str
) -> None:
    line = "echo " + between.join(parts)
    if "{a}" not in line or template.fault(line):
        return
    words = [shell, "sh"] if shell == "busybox" else [shell]
    for evil in EVIL:
        filled = template.filled(line, {"a": evil})
        subprocess.run(
            [*words, "-c", filled],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
        )
        assert not (tmp_path / "pwned").exists(), (line, filled)
