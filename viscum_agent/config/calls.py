"""A list of system calls in the form that OCI runtimes, Docker and procd's jail share, and the calls' numbers.

A kernel knows system calls by number only, and nothing on a router tells which is whose: neither /proc nor /sys, and
there are no C headers. So the names and numbers are here, and they are loaded where a service has such a list. Of what
the lists have in common, whatever would change what a program may do and is not done here is refused by its name.
"""

from collections import namedtuple

from ..errors import ConfigError
from ..shell import shown
from . import document as documents
from .document import entries, get
from .schema import Refused, words_of

# What becomes of a call that no rule is about, and the rules in the order in which they are asked: (names, action,
# conditions), a condition being (number of the argument, word of OPERATIONS, value, valueTwo). An action is what a
# filter returns (SECCOMP_RET_* of linux/seccomp.h).
Policy = namedtuple("Policy", ("default", "rules"))

MOST = 1 << 16  # bytes of a file; Docker's own list has 12 KB
LONGEST = 4096  # instructions of a filter: BPF_MAXINSNS (linux/bpf_common.h)

ERRNO = 0x00050000
ACTIONS = {
    "ALLOW": 0x7FFF0000,
    "LOG": 0x7FFC0000,
    "ERRNO": ERRNO,
    "ERROR": ERRNO,  # procd's other word for it
    "TRAP": 0x00030000,
    "KILL": 0,
    "KILL_THREAD": 0,
    "KILL_PROCESS": 0x80000000,
}
OPERATIONS = words_of("NE LT LE EQ GE GT MASKED_EQ")

# What may be in each part. The architectures say nothing: names are those of all of them, and a program of another kind
# than the agent is ended anyway. Nor do the flags, which are about threads that are there already, and about speed.
LIST = "defaultAction defaultErrnoRet architectures flags syscalls comment"
RULE = "names action errnoRet args comment"
ARGUMENT = "index value valueTwo op"


def load(path: str) -> "tuple[Policy | None, list[str]]":
    """(the list that a file holds, a sentence for what is wrong)."""
    try:
        return policy_of(documents.read(path, MOST, "name a list of system calls")), []
    except ConfigError as error:
        return None, [str(error)]
    except Refused as error:
        return None, ["%s: %s" % (path, error.args[0])]


def policy_of(document: object) -> "Policy":
    """What a list says. Raises Refused."""
    if not isinstance(document, dict):
        raise Refused("is no object")
    default = _action(document, "defaultAction", "defaultErrnoRet")
    _refuse_unknown(document, LIST)
    known = set(words_of(EARLIER + " " + LATER + " " + PRIVATE))
    unknown: list[str] = []
    decided: dict[str, int] = {}  # the action of a call for which an entry has no conditions: the last that is asked
    rules = []
    size = 0
    for rule in entries(document, "syscalls", dict):
        _refuse_unknown(rule, RULE)
        names = entries(rule, "names")
        if not names:
            raise Refused("syscalls: an entry has no names")
        unknown += [shown(name) for name in names if name not in known]
        conditions = [_condition(each) for each in entries(rule, "args", dict)]
        if len({each[0] for each in conditions}) < len(conditions):
            raise Refused("syscalls.args: one argument has two conditions: write an entry for each")
        size += len(names) * (6 * len(conditions) + 7)  # what service/seccomp.py makes of it, at most
        action = _action(rule, "action", "errnoRet")
        _refuse_unasked(decided, names, action)
        decided.update([(name, action) for name in names if not conditions])
        rules.append((tuple(names), action, tuple(conditions)))
    if unknown:
        raise Refused("syscalls.names: no system call of Linux has the name %s: take it out" % ", ".join(unknown[:5]))
    if size > LONGEST:
        raise Refused("is longer than a filter can be: name fewer system calls, or with fewer conditions")
    return Policy(default, tuple(rules))


def _refuse_unasked(decided: "dict[str, int]", names: "list[str]", action: int) -> None:
    for name in names:
        if decided.get(name, action) != action:
            raise Refused("syscalls: nobody asks a second entry for %s: take it out, or put it first" % shown(name))


def _refuse_unknown(document: dict, known: str) -> None:
    for key in sorted(document):
        if key not in known.split(" ") and documents.says_something(document[key]):
            raise Refused("%s is not supported: take it out" % shown(key))


def _action(document: object, where: str, number: str) -> int:
    word = get(document, where, str, "")
    if not word:
        raise Refused("%s is missing: say SCMP_ACT_ALLOW or SCMP_ACT_ERRNO" % where)
    action = ACTIONS.get(word[9:]) if word[:9] == "SCMP_ACT_" else None
    if action is None:
        raise Refused("%s: %s is not supported: say SCMP_ACT_ALLOW or SCMP_ACT_ERRNO" % (where, shown(word)))
    error = get(document, number, int, 1)  # EPERM
    if not 0 <= error < 4096:
        raise Refused("%s: %d is no error's number" % (number, error))
    return action | error if action == ERRNO else action


def _condition(document: dict) -> "tuple[int, str, int, int]":
    _refuse_unknown(document, ARGUMENT)
    index, word = get(document, "index", int, -1), get(document, "op", str, "")
    values = [get(document, each, int, 0) for each in ("value", "valueTwo")]
    if not 0 <= index < 6 or word[:9] != "SCMP_CMP_" or word[9:] not in OPERATIONS:
        raise Refused("syscalls.args: %s of argument %d is not supported: take it out" % (shown(word), index))
    if [each for each in values if not 0 <= each < 1 << 64]:
        raise Refused("syscalls.args: a value of argument %d is no number of 64 bits" % index)
    if values[1] & ~values[0] if word[9:] == "MASKED_EQ" else values[1]:
        raise Refused("syscalls.args: argument %d can't have that valueTwo: take it out, or mend value" % index)
    return index, word[9:], values[0], values[1]


def numbers(family: int) -> "dict[str, int]":
    """The numbers of system calls by name, in a family (AUDIT_ARCH_*) of TABLES; mips adds its own base to them."""
    table = TABLES[family]
    at = number = 0
    found = {}
    for name in words_of(EARLIER):
        mark = table[at : at + 1]
        at += 1
        if mark in ("", ABSENT):
            continue
        if "a" <= mark <= "h":
            number = (ord(mark) - ord("a")) * 57 + ord(table[at]) - ord("#")
            at += 1
        else:
            number += ord(mark) - ord("@")
        found[name] = number
        number += 1
    for place, name in enumerate(words_of(LATER)):
        found[name] = 403 + place
    if table is _ARM:
        for place, name in enumerate(words_of(PRIVATE)):
            found[name] = 0x0F0001 + place
    return found


# By the kernel's arch/*/.../syscall*.tbl and asm-generic/unistd.h, without those that no kernel serves: what came
# before number 403, in the order of i386. All others have the same number everywhere, in the order of LATER (`.` is
# none), and those of PRIVATE are only ARM's (asm/unistd.h there), but for mips's cacheflush.
#
# A family's table has a character for each of EARLIER: `_` where it has no such call, `@` where its number follows that
# of the last one, the characters around it for a number that is so much less or more, and two characters for one that
# is far away: a-h for how many times 57, and # to [ for the rest. These numbers never change: a new system call is
# another word in LATER.
ABSENT = "_"
PRIVATE = "breakpoint cacheflush usr26 usr32 set_tls get_tls"
EARLIER = (
    "restart_syscall syscall exit fork read write open close waitpid creat link unlink execve chdir time mknod chmod "
    "lchown oldstat lseek getpid mount umount setuid getuid stime ptrace alarm oldfstat pause utime access nice sync "
    "kill rename mkdir rmdir dup pipe times brk setgid getgid signal geteuid getegid acct umount2 ioctl fcntl setpgid "
    "oldolduname umask chroot ustat dup2 getppid getpgrp setsid sigaction sgetmask ssetmask setreuid setregid "
    "sigsuspend sigpending sethostname setrlimit getrlimit getrusage gettimeofday settimeofday getgroups setgroups "
    "select symlink oldlstat readlink uselib swapon reboot readdir mmap munmap truncate ftruncate fchmod fchown "
    "getpriority setpriority statfs fstatfs ioperm socketcall syslog setitimer getitimer stat lstat fstat olduname "
    "iopl vhangup idle vm86old wait4 swapoff sysinfo ipc fsync sigreturn clone setdomainname uname modify_ldt "
    "adjtimex mprotect sigprocmask init_module delete_module quotactl getpgid fchdir bdflush sysfs personality "
    "setfsuid setfsgid _llseek getdents _newselect flock msync readv writev cacheflush getsid cachectl fdatasync "
    "_sysctl sysmips mlock munlock mlockall munlockall sched_setparam sched_getparam sched_setscheduler "
    "sched_getscheduler sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval nanosleep "
    "mremap setresuid getresuid vm86 poll nfsservctl setresgid getresgid prctl rt_sigreturn rt_sigaction "
    "rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget "
    "capset sigaltstack sendfile vfork ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 "
    "getuid32 getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32 "
    "getresuid32 setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 pivot_root mincore madvise "
    "getdents64 fcntl64 gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr "
    "llistxattr flistxattr removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity "
    "sched_getaffinity set_thread_area get_thread_area io_setup io_destroy io_getevents io_submit io_cancel "
    "swapcontext fadvise64 exit_group lookup_dcookie epoll_create epoll_ctl rtas epoll_wait remap_file_pages "
    "set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime "
    "clock_gettime clock_getres clock_nanosleep statfs64 fstatfs64 arm_fadvise64_64 tgkill pciconfig_iobase utimes "
    "fadvise64_64 pciconfig_read pciconfig_write mbind get_mempolicy set_mempolicy mq_open mq_unlink spu_run "
    "mq_timedsend spu_create mq_timedreceive mq_notify mq_getsetattr kexec_load waitid accept add_key request_key "
    "keyctl ioprio_set send ioprio_get inotify_init recv inotify_add_watch inotify_rm_watch migrate_pages openat "
    "mkdirat mknodat fchownat semop futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat "
    "faccessat pselect6 ppoll subpage_prot unshare set_robust_list get_robust_list semtimedop splice sync_file_range "
    "tee vmsplice move_pages getcpu timerfd epoll_pwait utimensat signalfd timerfd_create eventfd fallocate "
    "timerfd_settime timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev "
    "rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64 arm_sync_file_range "
    "sync_file_range2 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv "
    "process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf "
    "execveat socket socketpair bind connect listen switch_endian accept4 getsockopt setsockopt getsockname "
    "getpeername sendto sendmsg recvfrom recvmsg shutdown userfaultfd membarrier mlock2 copy_file_range preadv2 "
    "pwritev2 pkey_mprotect pkey_alloc pkey_free statx arch_prctl io_pgetevents rseq semget semctl shmget shmctl "
    "shmat shmdt msgget msgsnd kexec_file_load msgrcv msgctl newfstatat s390_guarded_storage s390_pci_mmio_read "
    "s390_pci_mmio_write s390_runtime_instr s390_sthyi uprobe uretprobe riscv_hwprobe riscv_flush_icache"
)
LATER = (
    "clock_gettime64 clock_settime64 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 "
    "timer_settime64 timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64 . "
    "io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64 "
    "rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64 pidfd_send_signal io_uring_setup io_uring_enter "
    "io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick pidfd_open clone3 close_range openat2 "
    "pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset "
    "landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node "
    "cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr "
    "lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr "
    "file_getattr file_setattr listns rseq_slice_yield"
)
_GENERIC = (
    "c1_bG_b)@_8____dUaT_____Ld$aK_cC[_c&______b;c2___a:_cJdNcAd(_>AbCaJ5;cK_KaV__d%_/___3=__QB>AC@3@_____dXc?_dV8aP@"
    "EBc>>aN@__c%2>__b:__b$__eCdYd+_b<_dTcS=_JdZ_bS@b&cLaU__bFcH@___aCd[b+@_cM_b=__e#@@@c'B=@C@@@bOdPcD@__aMcF@Pc<:@@"
    "@@:b-@_a4bD@c5b1___________________________aLe'@b'_d*dMa(@@@@@@@@@@@c3_bLW@__a#@B=@_dWbHa5_B__e)bJJB=@A@@@@___O_"
    "____e*@@d,@_@_@@@bR6dBN@@aA_@__;@e-a[aE>Td9__aFB>>b8aX:W@_WA@d8b6G8=e.cY_a9bB_<_aRb@@2a6@Cb%a=b/@e/@AR@=__B@@@A>"
    "A@@@@@@@@@@@d>@@B=_e1dI>;@@D;D=eY@@@@@@@@@_@@d6@B@@@4Bf,d4>b9_______eA@"
)
_X86_64 = (
    "dS_b&<a#@@@_b?@@b%TdAc6bDC_a+aJcV_bS<_>aH_<c5a8_cSb(S@@aC5bNa/bT=_B@cTBa3b2bW_1cRc9aDbX@@___@@__c[5bK@=cUc$@a:bB"
    "_@c7cXA_a,Ab6@MAc=@;@d%_bQaI=a'A>_d$cJ__b'cYbM_b4_-d#b)cKDa-_d'@Bc*b;_c<;2@_b8_:a=8@_c-_b5cM_8@@@5@@@a;cC@@aF5c&"
    "@_a*d,c(@cNa2=@c0@@@a4@bF2c.@DaKQ__________________________cLa>@dQ_d2@@@@@@@@@@@@@@_A@@@E:@@@@_JIdL@S_>/AC@@@@@@"
    "@@___C_@___AA>A@_@_@@@@@aNe7@@@_@@_@@@@@@@b+eD_A@@@@@@@@_@@@dTeRA>A@f;_eX>A@@@@@A@@@@@@@@@@@@@__@@@@@@A@@@@@@@@@"
    "A@aLK;8G_f&aZ><@7A>A@fI@@@@@@@@@cOfS@b*Aa@A>b-@@fFb0@eE_____fV>"
)
_I386 = (
    "@_@@@@@@@@@@@@@@@@A@@@@@@@@@@@@B@A@@@@@@@A@@@@@@@A@AA@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@@@@@@"
    "@@@@@@@A@A@@@@@A@@@@@@@@_@_@@_@@@@@@@@@@@@@@@@@A@@@@@@@@@@@@@@@@@@@B@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@B@@@@@@@@@@@@"
    "@@@@@@@@@@@@@_@A@@@_@@@@@@@@@@@@@@_@_@@__A@@@@_@_@@@@@_A@@@_@@_@@@@@@@_@@@@@@@@@@@_@@@_@@@@@@_@@@@@@@@@@@@@@@@@@"
    "@@@@__@@@@@@@@@@@@@@@@@@@@@@@_@@@@@@@@@@@@@@@@@@@@@@@F@@@@@@@_@@"
)
_ARM = (
    "@_@@@@@@_A@@@@_A@@_B@@_A@_A__B_C@A@@@@@@@A@@_A@@@A@A_B@@@@@@@__B@@@@@_A@@@@_A_A@@@__B@@@@@@A@__B@@@@@__B__B@@_A@"
    "@@@_A@@A@A@@@@@A@@@@@@@@_@_@@_@@@@@@@@@@@@@@@@_B@@@@@@@@@@@@@@@@@@@B@@@@@@@@@@@@@@@@@@@@@@@@@@A@@<CB@@@@@@@@@@@@"
    "@@@@@@__@@@@@__@@@@_@@B@@@@@@@@@@@B=B=_B@fE@@eQ@_@_@@@g(eWDW@@Bf'Y@f)Y@h$fH@@@f0[@@@@@@@@@@_@@@f>[_A@@@_@A@@@@@@"
    "@@@@@@@@@@@A@@f[?g?@@@@@@@@@@@@@@@@@eXF9@@_g;f->7@BE;D;gQ@@@@@@@@@_A>f1@F@<@<=h%f4A"
)
_O32 = (
    "e<a#@@@@@@@@@@@@@@@@_B@@@@@@@@_A@B@A@@@@@@@A@@@@@@@A@A_B@@@@@@@@@@@@@@@@@@@@@_A_A@@@@@@@@@@@@A@@@@@@@@@_A@@_A@@@"
    "@@@@@@@@@A@A@@@@@A@@@@@@@@@C<C@;D@@@@@@@@@@@@@Q@b[d4@@@@@@@@@@@@@@@@@@@__B@@@@@___________________@@@@@A@@@@@@@@"
    "@@@@@@@@@@eZ_e0@@@@_H7@@@_@@@D@@@@@@@@5@_I_@___@@@@@_@_@@@f=eUcYeW@@f@d*fAe[d'f#@@@@@@_@@@@@@@@@@@_@E@_9@@@@CE:B"
    "@C=@B>A@@@@@@@@@A@@@__@@@@@@@@@@@@@@@@@@d/@0@C_fTd%G6>H><@Dg2@@@@@@@@@_A>Y@@@@@@@_@@"
)
_N64 = (
    "dM_b$=a#@@@_b=@@b#T_c4bBC_a+aIcQ_bQ<_>aH_;c3a7_cNb&S@@aB5bLa/bR=_B@cOBa2b0bU_1cMc6aCbV@@___@@__cV5bI@=cPb[@_b@_@"
    "_cSA_a,Ab4@MAc:@;@__bOaG>a'A>__cG__b%cTbK_b2_.cWb'_cKa-_cY@Bc(b9_c9;3@_b6a9b1a<8@d=c+d>b3cId?cC@@@5@@@a:c@@@aE5c"
    "$@_a*d%c&@cJdKa0@c.@@@a3@bD2c,@DaJ___________________________cHa=@f:_d*@@@@@@@@@@@@@@_A@@e1_d@@@@@_J5@@@_@@AC@@@"
    "@@@@@___@_@___@@@@@_@_@@@eMe,aMe.@@eP_@e2_@@@@@@@b)e:_A@@@@@@@@_@E@dNeF@@@@CE:B@C=@B>A@@@@@@@@@A@@@__@@@@@@@@@@A"
    "@@@@@@@aKK;8G_f+aY><@7A>A@fC@@@@@@@@@_A>b(Aa?A>b+@@_@@e;"
)
_POWERPC = (
    "@_@@@@@@@@@@@@@@@@A@@@@@@@@@@@@B@A@@@@@@@A@@@@@@@A@AA@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@A@@@@@@@@@@@@@_A@@@@@"
    "@@@@@@@A@A@@@@@A@@@@@@@@_@_@@_@@@@@@@@@@@@@@@@b[cX@@@@@@@@@@@@@@@@@@@B@A@@@@@___________________EB><AB/Q@@@@@@@@"
    "@@@3Q:@@__C@@@@Q/@@@@Q.@8G@@@@@@@@C@_<d@e:Bd>@eB@@@@N1N1@@@CfPeL@@AfTeQ@fVeS@eA[@@@_@@@@@@@@@-@f<eYQ>gUeZ_@@O@_@"
    "@@@@AA@@@@@@@A@@<WfI@@_.g&@@@@@@@A>A@@@@@@@fLF9@@g8g%;>7@BE;D;Y@L@@@D=@=_D>E@@@@@@@-R@f)"
)
_S390X = (
    "G_9@@@@@_A@@@@_A@d>_a6@@@dM1_a=@_A@B@A@@@@@@@AdN1aSdA@aV@A@A_B@@@@@@@__dC@b2@@@d7b7@@dE@c?b=_A@@@@@@@@@dGbJ@A@_A"
    "@@@@@@__B@_A@@@@@@@@_A@@A@A@@@@@dO@_c>_A@@@_@_@@_@@@@@@@@@@@@@@dH@_cY@dJ@d$@@@@@@@@@dLd/@@@@B___________________"
    "_______Z@@@_O1A@@@@@@@@@@@A_@@@__B@@@@_E:bXe8@_@O0A@@@@@@@@B@_e0_f?___eK@@@@_@_@@@@C_<@@A_@@_@@@@@@@_@_A@@@@@@@@"
    "_@@@gUf8@@@@@E:B@B>;E@@@C>>>C@@@YfR@@__@@@@SfY@@A@@@@@@@@BD@@@@_@@@@@@@@@@-@Q@@@F@@8_B@I@@@@@@@gJS@f+gGg.>5gI"
)

# AUDIT_ARCH_* of linux/audit.h. Who has 64 bits calls with the numbers of riscv64 and loongarch64 as of aarch64, and on
# PowerPC as with 32 bits.
TABLES = {
    0xC000003E: _X86_64,
    0x40000003: _I386,
    0xC00000B7: _GENERIC,
    0xC00000F3: _GENERIC,
    0xC0000102: _GENERIC,
    0x40000028: _ARM,
    0x28: _ARM,
    0x8: _O32,
    0x40000008: _O32,
    0x80000008: _N64,
    0xC0000008: _N64,
    0x14: _POWERPC,
    0x80000015: _POWERPC,
    0xC0000015: _POWERPC,
    0x80000016: _S390X,
}
