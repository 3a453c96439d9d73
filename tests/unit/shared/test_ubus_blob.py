"""blobmsg: bytes as libubox writes them, values as Python has them, and a clear error for everything else."""

from unit.shared.expect import raises

from viscum_agent.ubus import blob
from viscum_agent.ubus.blob import Table, Typed, decode, encode
from viscum_agent.ubus.codes import NO_MEMORY, TooLargeError, UbusError


def test_a_field_is_a_header_a_name_and_a_value_each_padded_to_four():
    # Type string (3), extended, 16 bytes long; name of 3 bytes, NUL, padding; "hi", NUL; padding that does not count.
    assert encode({"msg": "hi"}) == b"\x83\x00\x00\x0f\x00\x03msg\0\0\0hi\0\0"
    assert encode({"a": 1}) == b"\x85\x00\x00\x0c\x00\x01a\0\x00\x00\x00\x01"
    assert encode({"b": True}) == b"\x87\x00\x00\x09\x00\x01b\0\x01\0\0\0"
    assert encode({"n": None}) == b"\x80\x00\x00\x08\x00\x01n\0"


def test_every_type_comes_back():
    fields = {
        "text": "x\u00e4\u20ac\U0001f600",
        "empty": "",
        "small": -5,
        "large": 1 << 40,
        "least": -(1 << 63),
        "true": True,
        "false": False,
        "none": None,
        "real": -2.5,
        "list": [1, "two", [3], {"four": 4}, None],
        "table": {"inner": {"most": [[], {}]}},
    }
    assert decode(encode(fields)) == fields


def test_a_number_takes_the_type_that_json_would_give_it():
    """libubox reads numbers of JSON as int32 where they fit and as int64 else; blobmsg_json.c."""
    for value, kind in ((0, 5), (0x7FFFFFFF, 5), (0x80000000, 4), (-0x80000000, 5), (-0x80000001, 4)):
        assert encode({"n": value})[0] & 0x7F == kind


def test_a_type_can_be_asked_for():
    for kind, value, size in ((blob.INT64, 3, 8), (blob.INT16, -3, 2), (blob.INT8, 1, 1), (blob.DOUBLE, 1.5, 8)):
        data = encode([("n", Typed(kind, value))])
        assert data[0] & 0x7F == kind and data[3] == 8 + size
        assert decode(data)["n"] == value


def test_an_object_number_goes_out_as_int32_and_comes_back_signed():
    data = encode([("object", Typed(blob.INT32, 0xFFFFFFFE))])
    assert decode(data) == {"object": -2}


def test_pairs_keep_their_order():
    pairs = [("n%d" % i, i) for i in range(50)]
    data = encode([("outer", Table(pairs))])
    inner = blob.payload(data)[1]
    assert [name for name, _ in blob.names(inner)] == [name for name, _ in pairs]
    assert [name for name, _ in blob.names(encode(pairs))] == [name for name, _ in pairs]


def test_of_two_fields_with_one_name_the_first_counts():
    """blobmsg_parse of libubox takes the first."""
    assert decode(encode([("a", 1), ("a", 2)])) == {"a": 1}


def test_what_has_no_type_is_refused():
    for value in (b"bytes", object(), {1, 2}, 1 << 64, -(1 << 63) - 1, "nul\0inside", [b"x"], Typed(99, 1)):
        raises(UbusError, encode, {"x": value})
    for name in (1, None, "nul\0", "x" * 65536):
        raises(UbusError, encode, [(name, 1)])
    for typed in (Typed(blob.INT16, 65536), Typed(blob.INT8, -129), Typed(blob.INT32, "1")):
        raises(UbusError, encode, {"x": typed})


def test_too_much_is_refused_before_it_is_built():
    raises(TooLargeError, encode, {"x": "y" * blob.MAX_SIZE})
    raises(TooLargeError, encode, {"x": [1] * 200000})
    raises(TooLargeError, encode, {"x": "y" * 100}, 64)
    assert TooLargeError.code == NO_MEMORY
    assert len(encode({"x": "y" * 51}, 60)) == 60


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return {"x": value}


def test_tables_inside_each_other_have_an_end():
    assert decode(encode(nested(32))) == nested(32)
    assert "32 tables" in raises(UbusError, encode, nested(33))
    endless = {}
    endless["x"] = endless
    raises(UbusError, encode, endless)
    data = b""
    for _ in range(2000):  # each an array around the one before
        data = b"\x81" + (8 + len(data)).to_bytes(3, "big") + b"\0\0\0\0" + data
    assert "32 tables" in raises(UbusError, decode, b"\x81" + (8 + len(data)).to_bytes(3, "big") + b"\0\1a\0" + data)


def test_every_cut_is_noticed():
    data = encode({"text": "abc", "list": [1, 2]})
    for size in range(1, len(data)):
        try:
            decoded = decode(data[:size])
        except UbusError:
            continue
        assert len(decoded) == 1  # between the two fields


def test_bytes_that_are_no_blobmsg_are_refused():
    for data in (
        b"\0",  # less than a header
        b"\x83\0\0\x03",  # a length below that of the header
        b"\x83\0\0\xff",  # a length beyond the end
        b"\x83\xff\xff\xff",
        b"\x03\0\0\x0c\0\x01a\0x\0\0\0",  # no name
        b"\x83\0\0\x04",  # no room for one
        b"\x83\0\0\x08\0\x09a\0",  # a name beyond its field
        b"\x83\0\0\x0c\0\x01ab\0\0\0\0",  # a name without an end
        b"\x83\0\0\x08\0\x01a\0",  # a string without its NUL
        b"\x83\0\0\x0c\0\x01a\0abcd",
        b"\x83\0\0\x0c\0\x01a\0a\0b\0",  # one with a second
        b"\x89\0\0\x08\0\x01a\0",  # a type that there is none of
        b"\x85\0\0\x0a\0\x01a\0\0\1\0\0",  # two bytes of four
        b"\x88\0\0\x0c\0\x01a\0\0\0\0\0",
    ):
        raises(UbusError, decode, data)


def test_text_that_is_not_utf_8_does_not_lose_the_rest():
    """The name of a radio network is any bytes, and stands in the middle of netifd's answers."""
    for raw in (b"caf\xe9", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"):
        size = 8 + len(raw) + 1
        data = b"\x83\0\0" + bytes([size]) + b"\0\1a\0" + raw + b"\0" + b"\0" * (-size & 3)
        text = decode(data + encode({"b": 2}))
        assert text["b"] == 2 and "\ufffd" in text["a"] and len(text["a"]) == len(raw)
