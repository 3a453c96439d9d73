"""What `viscum` and `viscumd` both take: -c and -s. The commands (words.py) are 14 kB, of no use to the agent."""

COMMON = ("-c", "-s")


class Usage(Exception):
    """The command line is wrong; the argument says how. `command` is the command that it is about, if any."""

    def __init__(self, text: str, command: str = "") -> None:
        super().__init__(text)
        self.command = command


def take_place(places: "dict[str, str]", word: str, words: "list[str]", command: str = "") -> None:
    """Takes the value of -c or -s from the words that follow."""
    if not words or not words[0] or words[0].startswith("-"):
        raise Usage("%s needs a %s" % (word, "directory" if word == "-c" else "socket"), command)
    if word in places:
        raise Usage("%s is given twice" % word, command)
    places[word] = words.pop(0)
