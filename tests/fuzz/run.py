"""The long pass: each reader for so many minutes, with inputs that reach new code kept and changed further (atheris).

    python tests/fuzz/run.py MINUTES [READER...]

What is found in .cache/fuzz/READER stays there for the next run, in which it is read first; a finding is a file
.cache/fuzz/found/READER-*. At the end both interpreters read all that is new. Exits with 1 after a finding.

    python tests/fuzz/run.py keep READER...     adds the shortest of what is there to the kept inputs (corpora.py)
    python tests/fuzz/run.py one READER FILE    reads one input, for a traceback
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz import corpora, fuzzing  # noqa: E402
from fuzz.engine import Other  # noqa: E402

CACHE = Path(os.environ.get("VISCUM_FUZZ_CACHE") or ROOT / ".cache/fuzz")
LONGEST = 8192  # bytes of an input
PATIENCE = 10  # seconds for one of these
KEPT = 300  # bytes of an input that is kept for good
MOST_KEPT = 25  # new ones at once


def folder(name):
    path = CACHE / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(data):
    return hashlib.sha1(data).hexdigest()


def work(name, seconds):
    """In a process of its own: atheris never returns."""
    import atheris

    with atheris.instrument_imports(include=["viscum_agent"]):
        reader = fuzzing.load(name)
    there = folder(name)
    for data in reader.seeds() + corpora.load(name):
        (there / digest(data)).write_bytes(data)
    tokens = CACHE / (name + ".tokens")
    tokens.write_text("".join(['"%s"\n' % "".join(["\\x%02x" % byte for byte in token]) for token in reader.TOKENS]))
    (CACHE / "found").mkdir(exist_ok=True)
    options = {"max_total_time": seconds, "max_len": LONGEST, "timeout": PATIENCE, "dict": tokens}
    options.update({"artifact_prefix": "%s/found/%s-" % (CACHE, name), "print_final_stats": 1, "rss_limit_mb": 1024})
    words = ["-%s=%s" % each for each in options.items()]
    atheris.Setup([sys.argv[0]] + words + [str(there)], lambda data: fuzzing.outcome(reader, data))
    atheris.Fuzz()


def compared(name):
    """How many inputs both interpreters read, and those that they read differently."""
    reader = fuzzing.load(name)
    if getattr(reader, "ALONE", False):
        return 0, []
    inputs = [path.read_bytes() for path in sorted(folder(name).iterdir())]
    with Other() as other:
        wrong = [data for data in inputs if other.outcome(name, data) != fuzzing.outcome(reader, data)]
    for data in wrong:
        (CACHE / "found" / ("%s-differs-%s" % (name, digest(data)))).write_bytes(data)
    return len(inputs), wrong


def fuzz(name, seconds):
    """Whether nothing was found."""
    began = time.monotonic()
    log = CACHE / (name + ".log")
    with log.open("w") as file:
        words = [sys.executable, __file__, "work", name, str(seconds)]
        code = subprocess.run(words, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode
    took = time.monotonic() - began
    lines = log.read_text(errors="replace").splitlines()
    runs = [line.split()[-1] for line in lines if line.startswith("stat::number_of_executed_units")]
    both, wrong = compared(name) if not code else (0, [])
    text = "%-10s %5.0f s, %9s executions, %5d inputs kept, %5d read by both interpreters, %s"
    found = "a finding: see %s" % log if code else "%d read differently" % len(wrong) if wrong else "nothing found"
    print(text % (name, took, runs[0] if runs else "?", len(list(folder(name).iterdir())), both, found), flush=True)
    return not code and not wrong


def keep(name):
    known = {digest(data) for data in corpora.load(name)}
    found = [path.read_bytes() for path in folder(name).iterdir()]
    found = [data for data in found if len(data) <= KEPT and digest(data) not in known]
    corpora.save(name, sorted(found, key=len)[:: max(1, len(found) // MOST_KEPT)])


def main():
    words = sys.argv[1:]
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "found").mkdir(exist_ok=True)
    if words[0] == "work":
        work(words[1], int(words[2]))
    elif words[0] == "keep":
        for name in words[1:] or fuzzing.NAMES:
            keep(name)
    elif words[0] == "one":
        print(fuzzing.outcome(fuzzing.load(words[1]), Path(words[2]).read_bytes()))
    else:
        right = [fuzz(name, int(float(words[0]) * 60)) for name in words[1:] or fuzzing.NAMES]
        sys.exit(not all(right))


if __name__ == "__main__":
    main()
