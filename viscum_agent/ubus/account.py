"""Names of accounts and groups, as ubus passes them on with a call."""


def name_of(number: int, path: str = "/etc/passwd") -> str:
    """The name of an account (a group, with its path), or its number where it has none."""
    try:
        with open(path) as file:
            for line in file:
                fields = line.split(":")
                if len(fields) > 2 and fields[2] == str(number):
                    return fields[0]
    except (OSError, UnicodeError):
        pass
    return str(number)
