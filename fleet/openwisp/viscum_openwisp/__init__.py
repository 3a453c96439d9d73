"""A backend of netjsonconfig for OpenWISP's controller: OpenWrt, and /etc/config/viscum.

    OPENWISP_CONTROLLER_BACKENDS = (("viscum_openwisp.OpenWrt", "OpenWrt + Viscum"),)

Why not netjsonconfig's own way (a converter for a key, and its template for UCI): that writes values between quotes as
they are, and takes four blanks and empty lines out of them; it cuts a text with other letters than ASCII short in the
archive; and it adds a device's list to its template's. Here the file of Viscum is written by this module alone.

What may be saved: what schema.json takes, which is made from the agent's table of options, and what
`viscum check --offline` then finds nothing wrong in. Options with variables are passed over: their values are a
device's, and what is saved for it is judged with them.
"""

import json
import tarfile
from copy import deepcopy
from io import BytesIO
from pathlib import Path

from jsonschema import ValidationError as SchemaError
from netjsonconfig import OpenWrt as Stock
from netjsonconfig.backends.openwrt.parser import config_path
from netjsonconfig.exceptions import ValidationError

from viscum_agent.config import offline, schema
from viscum_agent.errors import problem_text

KEY = "viscum"
TYPE, NAME = "config_name", "config_value"  # as netjsonconfig calls them in packages that it does not know
UNFILLED = schema.UNFILLED.split("%s")[1]  # by which the agent says that a variable has no value


def uci(sections):
    """The text of /etc/config/viscum. What is empty is not set: a form has a field for each option."""
    lines = []
    for section in sections:
        lines.append("config %s %s" % (section[TYPE], _quoted(section[NAME])))
        for option, value in sorted(section.items()):
            if option in (TYPE, NAME) or value in ("", None) or value == []:
                continue
            word, values = ("list", value) if isinstance(value, list) else ("option", [value])
            lines += ["\t%s %s %s" % (word, option, _quoted(each)) for each in values]
        lines.append("")
    return "\n".join(lines)


def _quoted(value):
    """Nothing has a meaning between these quotes but the quote itself, which has to be outside of them."""
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return "'%s'" % text.replace("'", "'\\''")


def _numbers(sections):
    """(a section's name, an option, a number in it) for all numbers that are no text. The form has texts only, for it
    shows a field of two types badly; and what does not fit its schema it shows as something else, and loses."""
    for section in sections if isinstance(sections, list) else ():
        for option, value in section.items() if isinstance(section, dict) else ():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, (int, float)) and not isinstance(each, bool):
                    yield section.get(NAME), option, each


class OpenWrt(Stock):
    """netjsonconfig's OpenWrt with the key `viscum`: a list of sections."""

    schema = deepcopy(Stock.schema)
    schema["properties"][KEY] = json.loads((Path(__file__).parent / "schema.json").read_text())

    def _merge_config(self, config, templates):
        """A list of a device takes the place of its template's, as an option does; netjsonconfig adds them up."""
        merged = super()._merge_config(config, templates)
        if not templates:
            return merged
        last = {}
        for layer in (*templates, config):
            for section in self._load(layer).get(KEY, []):
                lists = {option: list(value) for option, value in section.items() if isinstance(value, list)}
                last.setdefault(section.get(NAME), {}).update(lists)
        for section in merged.get(KEY, []):
            section.update(last.get(section.get(NAME), {}))
        return merged

    def validate(self):
        numbers = ['%s.%s.%s: write it as a text, "%s"' % (KEY, *each) for each in _numbers(self.config.get(KEY))]
        if numbers:
            raise self._error(numbers)
        super().validate()
        text = uci(self.config.get(KEY, []))
        try:
            found = offline.mistakes(text.encode(), KEY)
            wrong = [problem_text(problem) for problem in found if UNFILLED not in problem.message]
        except UnicodeEncodeError:
            wrong = ["a value has half of a surrogate pair, which no file can have"]
        if wrong:
            raise self._error(wrong)

    def _error(self, problems):
        return ValidationError(SchemaError("\n".join(problems), path=(KEY,), instance=self.config[KEY]))

    def render(self, files=True):
        self.validate()
        sections = self.config.get(KEY)
        own = "package %s\n\n%s\n" % (KEY, uci(sections)) if sections else ""
        return own + self._stock().render(files)

    def _generate_contents(self, tar):
        self.validate()
        sections = self.config.get(KEY)
        if sections:
            data = uci(sections).encode()
            info = tarfile.TarInfo(config_path + KEY)  # of no time: the hash of the archive says whether it changed
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
        self._stock()._generate_contents(tar)

    def _stock(self):
        """The rest, as netjsonconfig has it."""
        return Stock({key: value for key, value in self.config.items() if key != KEY}, dsa=self.dsa)
