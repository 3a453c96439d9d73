"""What root does, only root may have written: the rule of sshd (StrictModes) and sudo, for the configuration."""

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from lab import HANG, ROOT

from viscum_agent.config import trust, uci
from viscum_agent.errors import ConfigError

NOBODY = 65534
TEXT = "config service 'a'\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: what root reads is judged")


@pytest.fixture
def folder(tmp_path):
    """A directory for the configuration, two below one that nobody but root may write."""
    made = tmp_path / "etc/config"
    made.mkdir(parents=True)
    for path in (made.parent, made):
        path.chmod(0o755)
    (made / "viscum").write_text(TEXT)
    (made / "viscum").chmod(0o644)
    return made


def refusal(folder, name="viscum"):
    with pytest.raises(ConfigError) as caught:
        uci.load(str(folder), name)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400, 0o755])
def test_what_only_root_may_write_is_taken(folder, mode):
    (folder / "viscum").chmod(mode)
    assert len(uci.load(str(folder), "viscum")) == 1


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o622, 0o777])
def test_a_file_that_others_may_write_is_refused_with_the_command_that_fixes_it(folder, mode):
    path = folder / "viscum"
    path.chmod(mode)
    said = "%s is refused: it can be written by others than root (mode %o): chmod go-w %s"
    assert refusal(folder) == said % (path, mode, path)
    os.system(refusal(folder).split(": ")[-1])
    assert len(uci.load(str(folder), "viscum")) == 1


def test_a_file_of_another_account_is_refused(folder):
    path = folder / "viscum"
    os.chown(path, NOBODY, NOBODY)
    said = "%s is refused: it belongs to account 65534, which could change what root runs: chown root %s"
    assert refusal(folder) == said % (path, path)
    os.system(refusal(folder).split(": ")[-1])
    assert len(uci.load(str(folder), "viscum")) == 1


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777])
def test_a_directory_in_which_others_may_put_another_file_is_refused(folder, mode):
    folder.chmod(mode)
    said = "%s/viscum is refused: its directory can be written by others than root (mode %o): chmod go-w %s"
    assert refusal(folder) == said % (folder, mode, folder)


def test_a_directory_of_another_account_is_refused(folder):
    os.chown(folder, NOBODY, NOBODY)
    assert "its directory belongs to account 65534" in refusal(folder)


def test_the_directories_above_count_as_well(folder):
    folder.parent.chmod(0o777)
    said = "/etc, which leads to it, can be written by others than root (mode 777): chmod go-w %s" % folder.parent
    assert refusal(folder).endswith(said)
    folder.parent.chmod(0o755)
    os.chown(folder.parent, NOBODY, 0)
    assert "/etc, which leads to it, belongs to account 65534" in refusal(folder)


@pytest.mark.parametrize("mode, group", [(0o1777, 0), (0o1777, NOBODY), (0o775, 0)])
def test_above_the_directory_a_sticky_bit_or_roots_own_group_is_no_danger(folder, mode, group):
    """As /tmp is, and some images of OpenWrt that were built with umask 002: what lies below belongs to root."""
    os.chown(folder.parent, 0, group)
    folder.parent.chmod(mode)
    assert len(uci.load(str(folder), "viscum")) == 1


def test_above_the_directory_another_group_is_a_danger(folder):
    os.chown(folder.parent, 0, NOBODY)
    folder.parent.chmod(0o775)
    assert "which leads to it, can be written" in refusal(folder)


def test_a_symbolic_link_is_judged_by_where_it_leads(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    (other / "viscum").write_text(TEXT)
    (folder / "viscum").unlink()
    (folder / "viscum").symlink_to(other / "viscum")
    assert len(uci.load(str(folder), "viscum")) == 1
    other.chmod(0o777)
    assert "its directory can be written" in refusal(folder) and refusal(folder).endswith("chmod go-w %s" % other)
    other.chmod(0o755)
    (other / "viscum").chmod(0o666)
    assert refusal(folder).endswith("chmod go-w %s" % (other / "viscum"))


def test_a_directory_that_is_a_link_is_judged_by_where_it_leads(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert len(uci.load(str(link), "viscum")) == 1
    folder.parent.chmod(0o777)
    assert "which leads to it" in refusal(link)


def test_every_file_of_uci_is_judged(folder):
    (folder / "network").write_text("")
    (folder / "network").chmod(0o666)
    assert "network is refused" in refusal(folder, "network")


def test_a_path_that_a_shell_would_act_upon_is_quoted(folder):
    odd = folder / "a b;reboot"
    odd.mkdir(mode=0o755)
    (odd / "viscum").write_text(TEXT)
    (odd / "viscum").chmod(0o666)
    assert refusal(odd).endswith("chmod go-w '%s'" % (odd / "viscum"))


@pytest.mark.timeout(HANG)
def test_what_becomes_a_fifo_between_two_looks_blocks_nobody(folder):
    """No look at the path is believed: what was opened is judged."""
    (folder / "viscum").unlink()
    os.mkfifo(folder / "viscum", 0o644)
    assert "is not a regular file" in refusal(folder)
    for path in ("/dev/zero", "/dev/tty", str(folder)):
        with pytest.raises((ConfigError, OSError)):
            trust.read(path, 10)


def test_what_is_no_regular_file_is_not_even_opened(folder):
    """Whoever can make a link where a program is looked for would start the watchdog by it, or end a FIFO's reader."""
    os.mkfifo(folder / "fifo", 0o644)
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, str(folder / "fifo").encode(), 0x20) > 0  # IN_OPEN (linux/inotify.h)
    with pytest.raises(ConfigError):
        trust.read(str(folder / "fifo"), 10)
    with pytest.raises(BlockingIOError):
        os.read(watch, 100)
    os.close(watch)


@pytest.mark.skipif(not os.stat(ROOT).st_mode & 0o005, reason="nobody can't read this checkout")
@pytest.mark.parametrize("owner, refused", [(NOBODY, False), (0, True)])
def test_who_is_not_root_may_look_at_a_file_of_their_own(owner, refused):
    """Nothing that root does comes of it; a file of root's is judged for them as root would."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        Path(folder, "viscum").write_text(TEXT)
        os.chown(Path(folder, "viscum"), owner, owner)
        code = "import sys; from viscum_agent.config import uci; print(len(uci.load(sys.argv[1], 'viscum')))"
        words = ("/usr/bin/python3", "-c", code, folder)
        result = subprocess.run(
            words, user=NOBODY, group=NOBODY, extra_groups=[], cwd=ROOT, capture_output=True, text=True
        )
        assert (result.stdout, "its directory can be written" in result.stderr) == ("" if refused else "1\n", refused)


def test_no_more_is_read_than_was_asked_for(folder):
    assert trust.read(str(folder / "viscum"), 6) == b"config"
