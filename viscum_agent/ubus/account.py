"""Names of accounts and groups, as ubus passes them along with a call."""


def name_of(number: int, path: str = "/etc/passwd") -> str:
    """The name of an account (with the other path: of a group), or its number if it has none."""
    try:
        with open(path) as file:
            for line in file:
                fields = line.split(":")
                if len(fields) > 2 and fields[2] == str(number):
                    return fields[0]
    except (OSError, UnicodeError):
        pass
    return str(number)
