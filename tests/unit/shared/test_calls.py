"""A list of system calls as procd, Docker and OCI runtimes have it: what it says, and what of it is refused by name."""

from unit.shared.expect import raises

from viscum_agent import ujson
from viscum_agent.config import calls
from viscum_agent.config.schema import Refused

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050001, 0x80000000


def read(document):
    """As it comes out of a file."""
    return calls.policy_of(ujson.loads(ujson.dumps(document)))


def named(**parts):
    """A list with one rule, which has these parts."""
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    rule.update(parts)
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}


def refused(document):
    return raises(Refused, read, document)


def test_a_list_as_procd_has_it():
    found = read(
        {
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": []},
                {"names": ["open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            ],
        }
    )
    assert found.default == KILL
    assert found.rules == ((("read", "write"), ALLOW, ()), (("open",), 0x0005000D, ()))


def test_actions_are_those_of_the_kernel():
    words = {"ALLOW": ALLOW, "LOG": 0x7FFC0000, "ERRNO": ERRNO, "TRAP": 0x00030000, "KILL": 0, "KILL_THREAD": 0}
    words["KILL_PROCESS"] = KILL
    for word, number in words.items():
        assert read({"defaultAction": "SCMP_ACT_" + word}).default == number
    assert read({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38}).default == 0x00050026


def test_a_condition_names_an_argument_how_it_is_compared_and_with_what():
    argument = {"index": 1, "value": (1 << 64) - 1, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}
    assert read(named(args=[argument])).rules[0][2] == ((1, "MASKED_EQ", (1 << 64) - 1, 4),)
    assert read(named(args=[{"index": 0, "op": "SCMP_CMP_GT"}])).rules[0][2] == ((0, "GT", 0, 0),)


def test_what_a_list_says_and_nobody_does_is_refused_by_its_name():
    one = {"index": 0, "op": "SCMP_CMP_EQ"}
    masked = "SCMP_CMP_MASKED_EQ"
    cases = (
        ("defaultAction is missing: say SCMP_ACT_ALLOW or SCMP_ACT_ERRNO", {"policy": 1, "whitelist": ["read"]}),
        ("defaultAction: 'SCMP_ACT_TRACE' is not supported", {"defaultAction": "SCMP_ACT_TRACE"}),
        ("defaultAction: 'ALLOW' is not supported: say SCMP_ACT_ALLOW", {"defaultAction": "ALLOW"}),
        ("defaultAction has a wrong type", {"defaultAction": 1}),
        ("defaultErrnoRet: 4096 is no error's number", {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}),
        ("'listenerPath' is not supported: take it out", dict(named(), listenerPath="/run/x")),
        ("'includes' is not supported: take it out", named(includes={"caps": ["CAP_BPF"]})),
        ("action: 'SCMP_ACT_NOTIFY' is not supported", named(action="SCMP_ACT_NOTIFY")),
        ("action is missing", named(action=None)),
        ("errnoRet: -1 is no error's number", named(errnoRet=-1)),
        ("syscalls: an entry has no names", named(names=[])),
        ("names has an entry of a wrong type", named(names=[1])),
        (
            "syscalls.names: no system call of Linux has the name 'raed', 'foo': take",
            named(names=["read", "raed", "foo"]),
        ),
        ("syscalls.names: no system call of Linux has the name 'read write'", named(names=["read write"])),
        ("syscalls.args: one argument has two conditions", named(args=[one, one])),
        ("syscalls.args: 'SCMP_CMP_EQ' of argument 6 is", named(args=[{"index": 6, "op": "SCMP_CMP_EQ"}])),
        ("syscalls.args: '' of argument 0 is not supported", named(args=[{"index": 0}])),
        ("syscalls.args: a value of argument 0 is no", named(args=[dict(one, value=1 << 64)])),
        ("syscalls.args: a value of argument 0 is no", named(args=[dict(one, valueTwo=-1)])),
        ("'valuetwo' is not supported: take it out", named(args=[dict(one, valuetwo=1)])),
        ("syscalls.args: argument 0 can't have that valueTwo", named(args=[dict(one, valueTwo=1)])),
        ("syscalls.args: argument 0 can't have that valueTwo", named(args=[dict(one, op=masked, value=4, valueTwo=6)])),
        ("value has a wrong type", named(args=[dict(one, value=1.5)])),
        ("is longer than a filter can be", named(names=["read"] * 600)),
        ("is no object", []),
        ("syscalls has a wrong type", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}),
    )
    for text, document in cases:
        found = refused(document)
        assert found.startswith(text), (text, found)


def test_what_is_empty_or_changes_nothing_is_passed_over():
    found = read(dict(named(includes={}, comment="x"), flags=["SECCOMP_FILTER_FLAG_LOG"], archMap=None))
    assert len(found.rules) == 1


def test_a_name_of_another_processor_is_one():
    assert read(named(names=["s390_sthyi", "set_tls", "arm_fadvise64_64", "riscv_flush_icache", "spu_run"]))


def test_a_file_that_is_not_there_is_named():
    assert calls.load("/nowhere")[1] == ["there is no file /nowhere: name a list of system calls"]


def test_an_entry_for_a_call_of_which_another_has_decided_is_refused():
    """It would be taken for a rule."""
    rules = [{"names": ["read", "ptrace"], "action": "SCMP_ACT_ALLOW"}]
    rules.append({"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"})
    text = "syscalls: nobody asks a second entry for 'ptrace': take it out, or put it first"
    assert refused({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}) == text
    rules[1]["args"] = [{"index": 0, "op": "SCMP_CMP_EQ"}]
    assert refused({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}) == text
    rules.reverse()
    assert len(read({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}).rules) == 2
    rules[1]["action"] = rules[0]["action"]
    assert len(read({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rules[1], rules[0]]}).rules) == 2
