"""What a program prints: whatever it is, the log gets lines that are bounded, printable and not too many."""

from viscum_agent.service import output


def lines(*pieces):
    made = output.Lines(0)
    return [line for piece in pieces for line in made.take(piece, 0)] + made.flush(0)


def test_lines_are_put_together_from_what_comes():
    assert lines(b"one\ntw", b"o\nthree\n\n  \nfour") == ["one", "two", "three", "four"]


def test_what_has_no_end_is_cut():
    found = lines(b"x" * 1000, b"y\nz\n")
    assert [len(line) for line in found] == [400, 400, 201, 1]


def test_a_line_can_not_forge_another_nor_get_at_a_terminal():
    assert lines(b"a\x1b[2J\r\x07b\x7f\n") == ["a\\x1b[2J\\x0d\\x07b\\x7f"]
    assert lines(b"\xff\xfe\n") == ["\\xff\\xfe"]
    assert lines("caf\u00e9 \u009b31m\n".encode()) == ["caf\u00e9 \\u009b31m"]
    assert lines(b"<5>viscumd[1]: x\n") == ["<5>viscumd[1]: x"], "the log has its own head before it"


def test_what_changes_the_order_of_letters_or_is_not_seen_is_shown_as_its_number():
    for number in (0xAD, 0x061C, 0x200B, 0x200F, 0x2028, 0x2029, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0xFEFF):
        assert lines(("a%sb\n" % chr(number)).encode()) == ["a\\u%04xb" % number]
    assert lines("x\U000e0041\ufffb\n".encode()) == ["x\\ue0041\\ufffb"]
    for text in ("\u65e5\u672c\u8a9e", "\u05d0\u05d1 \u0627", "na\u00efve \u2013 \u20ac 5 \U0001f600"):
        assert lines((text + "\n").encode()) == [text]


def test_bytes_that_only_some_take_for_utf_8_are_shown_as_numbers():
    """MicroPython decodes overlong forms, and a terminal may: of an escape, for one (RFC 3629, section 10)."""
    assert lines(b"\xc0\x9b2J\n") == ["\\xc0\\x9b2J"]
    assert lines(b"\xe0\x80\x9b\n") == ["\\xe0\\x80\\x9b"]
    assert lines(b"\xed\xa0\x80\n") == ["\\xed\\xa0\\x80"]
    assert lines(b"\xf7\xbf\xbf\xbf\n") == ["\\xf7\\xbf\\xbf\\xbf"]


def test_a_flood_is_counted_and_not_written():
    made = output.Lines(0)
    assert len(made.take(b"x\n" * 1000, 0)) == output.BURST
    assert made.take(b"y\n", 0.001) == [] and made.waits
    assert made.flush(10) == ["(%d lines left out)" % (1001 - output.BURST)]
    assert not made.waits
    assert made.take(b"z\n", 10) == ["z"]
    assert len(made.take(b"x\n" * 1000, 20)) <= output.BURST


def test_what_is_left_out_is_counted_without_a_look_at_each_line():
    """A program that prints 64 KiB at a time, without an end of line or nothing but ends, must not cost seconds."""
    made = output.Lines(0)
    made.take(b"x\n" * output.BURST, 0)
    plain, output.printable = output.printable, None
    try:
        assert made.take(b"\n" * 60000, 0) == []
        assert made.take(b"x" * 60000 + b"\nrest", 0) == []
        assert made.take(b"y" * output.LONGEST, 0) == []
    finally:
        output.printable = plain
    assert made.flush(10) == ["(60002 lines left out)", "yyyy"]
