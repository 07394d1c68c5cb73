"""What probes printed on systems of several kinds; the numbers are changed."""

from __future__ import annotations

DEBIAN = """\
Welcome to web1, maintained by ops.
@clock
1795380250.000000000
@load
0.42 0.31 0.20 2/310 4711
@cores
4
@uptime
1044000.51 4100000.02
@memory
MemTotal:        8000000 kB
MemFree:          200000 kB
MemAvailable:    4720000 kB
HugePages_Total:       0
SwapTotal:       2000000 kB
SwapFree:        1980000 kB
@disks
Filesystem     1024-blocks      Used Available Capacity Mounted on
udev               4000000         0   4000000       0% /dev
tmpfs               800000      1200    798800       1% /run
/dev/vda1         40000000  18000000  22000000      45% /
/dev/vdb1         90000000  63000000  27000000      71% /srv/with space
/dev/vda1         40000000  18000000  22000000      45% /var/lib/docker/volumes/x
overlay           40000000  18000000  22000000      45% /var/lib/docker/overlay2/1/merged
/dev/loop3           60000     60000         0     100% /snap/core/1
//nas/my share   900000000 450000000 450000000      50% /mnt/nas
tank             100000000  10000000  90000000      10% /tank
tmpfs              4000000   3800000    200000      95% /tmp
@inodes
Filesystem      Inodes  IUsed   IFree IUse% Mounted on
/dev/vda1      2500000 100000 2400000    4% /
/dev/vdb1            0      0       0     - /srv/with space
tank         200000000   1000 1999999    1% /tank
@units
nginx.service loaded failed failed A high performance web server
backup.timer  loaded failed failed Nightly
@end
"""
ALPINE = """\
@clock
1795380250.%N
@load
5.00 9.00 1.00 1/80 99
@cores
2
@uptime
120.00 100.00
@memory
MemTotal:         500000 kB
MemFree:           10000 kB
MemAvailable:      20000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
@disks
Filesystem           1024-blocks    Used Available Capacity Mounted on
devtmpfs                   10240         0     10240   0% /dev
/dev/vda3               30000000  27900000   2100000  93% /
@inodes
Filesystem              Inodes      Used Available Capacity Mounted on
/dev/vda3              2000000   1900000    100000  95% /
@end
"""
FINE = DEBIAN.replace("@units\n", "@units\n@rest\n").replace("95% /tmp", "1% /tmp")

FREEBSD = """\
@clock
1795380250.N
@load
{ 0.52 0.58 0.59 }
@cores
4
@uptime
{ sec = 1795380130, usec = 213446 } Sun Nov 22 20:42:10 2026
@boot
{ sec = 1795380130, usec = 213446 } Sun Nov 22 20:42:10 2026
@memory
hw.physmem: 4000000000
vm.stats.vm.v_laundry_count: 0
vm.stats.vm.v_inactive_count: 100000
vm.stats.vm.v_free_count: 144140
vm.stats.vm.v_page_size: 4096
@swap
Device          1K-blocks     Used    Avail Capacity
/dev/ada0p2       2000000   500000  1500000    25%
@disks
Filesystem         1024-blocks    Used    Avail Capacity  Mounted on
zroot/ROOT/default    95000000 9500000 85500000    10%    /
devfs                        1       1        0   100%    /dev
fdescfs                      1       1        0   100%    /dev/fd
zroot/var/log         85600000  100000 85500000     1%    /var/log
@inodes
Filesystem         1K-blocks    Used    Avail Capacity iused     ifree %iused  Mounted on
zroot/ROOT/default  95000000 9500000 85500000    10%  180000 171000000    7%   /
devfs                      1       1        0   100%       0         0  100%   /dev
zroot/var/log       85600000  100000 85500000     1%     120 171000000    0%   /var/log
@reboot
@network
Name    Mtu Network       Address              Ipkts Ierrs Idrop     Ibytes    Opkts Oerrs     Obytes  Coll
em0    1500 <Link#1>      52:54:00:12:34:56   149504     3     0  123456789   111734     4   99999999     0
em0    1500 10.0.2.0/24   10.0.2.15           149000     -     -  120000000   111000     -   98000000     -
lo0   16384 <Link#2>      lo0                   5000     0     0     500000     5000     0     500000     0
@temperatures
dev.cpu.1.temperature: 47.0C
dev.cpu.0.temperature: 45.5C
@raid
@pools
zroot\tONLINE
tank\tDEGRADED
@end
"""
MACOS = """\
@clock
1795380250.N
@load
{ 2.10 1.95 1.80 }
@cores
8
@uptime
{ sec = 1794380250, usec = 0 } Wed Nov 11 06:57:30 2026
@memory
hw.memsize: 16000000000
vm.swapusage: total = 2048.00M  used = 512.00M  free = 1536.00M  (encrypted)
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               100000.
Pages active:                             300000.
Pages inactive:                           144140.
Pages speculative:                         50000.
Pages wired down:                         200000.
@swap
@disks
Filesystem     1024-blocks      Used Available Capacity  Mounted on
/dev/disk3s1s1   971350180  10500000 380000000     3%    /
devfs                  200       200         0   100%    /dev
/dev/disk3s6     971350180   2000000 380000000     1%    /System/Volumes/VM
/dev/disk3s5     971350180 560000000 380000000    60%    /System/Volumes/Data
map auto_home            0         0         0   100%    /System/Volumes/Data/home
@inodes
Filesystem     1024-blocks      Used Available Capacity    iused      ifree %iused  Mounted on
/dev/disk3s1s1   971350180  10500000 380000000     3%     484322 9767493838    0%   /
/dev/disk3s5     971350180 560000000 380000000    60%    2072480 9765905680    0%   /System/Volumes/Data
@reboot
@network
Name       Mtu   Network       Address            Ipkts Ierrs     Ibytes    Opkts Oerrs     Obytes  Coll
lo0        16384 <Link#1>                        100000     0   50000000   100000     0   50000000     0
en0        1500  <Link#11>   aa:bb:cc:dd:ee:ff  9000000     2 9000000000  4000000     5 1000000000     0
@end
"""
MDSTAT = """\
Personalities : [raid1] [raid6] [raid5] [raid4]
md2 : active raid5 sdd1[3] sdc1[2] sdb2[1]
      2917676544 blocks level 5, 256k chunk, algorithm 2 [4/3] [_UUU]

md1 : active raid1 sdb3[2] sda3[0]
      3068288 blocks [2/1] [U_]
      [=>...................]  recovery =  8.1% (251596/3068288) finish=6.7min speed=6963K/sec

md0 : active raid1 sdb1[1] sda1[0]
      104320 blocks [2/2] [UU]

md9 : inactive sde1[0](S)
      1020032 blocks

unused devices: <none>
"""
