"""What is asked of a host, as one POSIX sh script: what every system has is asked in its own words, the rest is left out.

No bashism, no GNU option without something to fall back on: dash, bash, busybox and the sh of the BSDs run it. Whatever
fails says nothing, so that vitals.py sees a section with no lines. A network disk that hangs would hold df for ever,
and a locked package database the question for updates: both get 5 s where there is a `timeout` that takes its seconds
first (busybox since 1.30). No single quotes: each would cost four bytes of what is sent to every host.
"""

from __future__ import annotations

_BEGIN = """\
exec 2>/dev/null
export LC_ALL=C
limit=; timeout 5 true && limit="timeout 5"
proc() { [ -r "$1" ] && cat "$1"; }
echo @clock; date +%s.%N
"""

# What a watch looks at again and again: a dozen short programs there, no package database, no list of processes.
_VITALS = """\
echo @load; proc /proc/loadavg || sysctl -n vm.loadavg
echo @cores; nproc || getconf _NPROCESSORS_ONLN || sysctl -n hw.ncpu || grep -c ^processor /proc/cpuinfo
echo @uptime; proc /proc/uptime || sysctl -n kern.boottime
echo @boot; proc /proc/sys/kernel/random/boot_id || sysctl -n kern.boottime
echo @memory
if [ -r /proc/meminfo ]; then
    grep -E "^(Mem(Total|Available|Free)|Buffers|Cached|Swap(Total|Free)):" /proc/meminfo
else
    sysctl hw.memsize hw.physmem vm.swapusage vm.stats.vm
    vm_stat
    echo @swap; swapinfo -k
fi
echo @disks; $limit df -kP
echo @inodes; if [ -r /proc/mounts ]; then $limit df -iP; else $limit df -ki; fi
if [ -d /run/systemd/system ]; then
    echo @units; systemctl list-units --failed --plain --no-legend --no-pager
elif command -v rc-status >/dev/null; then
    echo @units; rc-status --nocolor --crashed
fi
echo @reboot
for file in /run/reboot-required /var/run/reboot-required; do
    if [ -e $file ]; then echo needed; cat $file.pkgs; break; fi
done
kernel=/lib/modules/$(uname -r)
[ -d "$kernel" ] || { [ "$(uname -s)" = Linux ] && ls -d /lib/modules/*/kernel >/dev/null && echo kernel; }
echo @notified; proc /var/lib/update-notifier/updates-available
echo @network; proc /proc/net/dev || netstat -ibn
echo @temperatures
for file in /sys/class/thermal/thermal_zone*/temp /sys/class/hwmon/hwmon*/temp*_input; do
    [ -r "$file" ] && read -r value <"$file" && echo "$value"
done
[ -d /proc/sys ] || sysctl dev.cpu | grep temperature
echo @raid; proc /proc/mdstat
command -v zpool >/dev/null && { echo @pools; $limit zpool list -H -o name,health; }
"""

# What somebody wants to know who asks: it may take a second or two.
_MORE = """\
echo @processes
if ps -Ao pcpu,pmem,comm >/dev/null; then
    ps -Ao pcpu,pmem,comm | sort -rn | head -n 3
    echo @hungry; ps -Ao pcpu,pmem,comm | sort -k 2 -rn | head -n 3
fi
echo @updates
if [ -x /usr/lib/update-notifier/apt-check ]; then
    $limit /usr/lib/update-notifier/apt-check 2>&1
elif command -v apt-get >/dev/null; then
    found=$($limit apt-get -s -o Debug::NoLocking=true dist-upgrade) && echo "0 security" &&
        echo "$found" | sed -n "s/^Inst.*[Ss]ecurity.*/security/p; t; s/^Inst.*/other/p" |
        sort | uniq -c
elif command -v dnf >/dev/null; then
    found=$($limit dnf -q -C updateinfo list --security) &&
        echo "$(echo "$found" | grep -c .) security"
elif command -v apk >/dev/null; then
    found=$($limit apk version -l "<") && echo "$(echo "$found" | grep -c " < ") other"
elif command -v pkg >/dev/null; then
    found=$($limit pkg audit -q)
    [ $? -le 1 ] && echo "$(echo "$found" | grep -c .) security"
fi
command -v needs-restarting >/dev/null && { echo @restart; $limit needs-restarting -r >/dev/null; echo $?; }
"""

_END = """\
echo @ended; date +%s.%N
echo @end
"""

WATCHED = _BEGIN + _VITALS + _END
PROBE = _BEGIN + _VITALS + _MORE + _END
