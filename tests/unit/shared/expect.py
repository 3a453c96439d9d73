"""What the shared tests need and a plain assert can't do."""


def raises(kind, function, *arguments):
    """Calls the function, which has to raise an exception of that kind, and returns its text."""
    try:
        result = function(*arguments)
    except kind as error:
        return str(error.args[0]) if error.args else ""
    raise AssertionError("no %s, but %r" % (kind.__name__, result))
