"""Reads one log through mls-tail, mls-parse and mls-enrich: shared by scripts/archive and scripts/spark-archive.py.

A log is read alone and from its beginning, so that the `pos` of its lines depends only on the log: see mls-event(5).
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile

# How records begin. A text inside a record never contains these bytes, because JSON escapes quotes.
AUTH = b'{"v":1,"type":"auth",'
GAP = b'{"v":1,"type":"gap",'
END = b'{"v":1,"type":"end"'

# The number of bytes that are read at once.
BLOCK = 1 << 20

# Exit codes (sysexits.h) that the same file would cause again: usage, data, no input, no permission, configuration.
PERMANENT = {64, 65, 66, 77, 78}

# How many bytes of a tool's messages are used: the last ones.
KEPT = 4096


class ToolFailed(Exception):
    """A tool ended with an error. The message names the log and contains the messages of the tools."""

    def __init__(self, message, is_permanent):
        super().__init__(message, is_permanent)
        self.message = message
        self.is_permanent = is_permanent

    def __str__(self):
        return self.message


def add_options(parser):
    """Adds the options for reading a log."""
    parser.add_argument("--tools", metavar="DIR", help="directory of the tools [default: the search path]")
    parser.add_argument("--parse-options", metavar="OPTIONS", default="",
                        help="more options of mls-parse, such as --parse-options=--require-year; without --outcome, it keeps "
                             "failures and logins")
    parser.add_argument("--enrich-options", metavar="OPTIONS", default="",
                        help="more options of mls-enrich, such as --enrich-options='--data-dir DIR'; it never queries the DNS")


def commands(options):
    """Returns the commands of the pipeline. The name of the log follows the first one."""
    def tool(name):
        return os.path.join(options.tools, name) if options.tools else name

    parse = shlex.split(options.parse_options)
    if not any(word.split("=")[0] == "--outcome" for word in parse):
        parse = ["--outcome=failure,success", *parse]
    return [
        [tool("mls-tail"), "--framed", "--no-rotated", "--"],
        [tool("mls-parse"), "--stats", *parse],
        [tool("mls-enrich"), "--no-dns", *shlex.split(options.enrich_options)],
    ]


class Log:
    """One run of the tools over one log."""

    def __init__(self, name, path, pipeline):
        # `name` is for messages, and `path` is the file to read.
        self.name, self.path, self.pipeline = name, path, pipeline
        self.lines = self.events = self.rejects = 0
        # The reasons why parts of the log could not be read.
        self.damage = []

    def blocks(self):
        """Yields the output of the tools, whole lines in blocks. Raises ToolFailed at the end if a tool failed."""
        with tempfile.TemporaryDirectory(prefix="mls-archive-") as scratch:
            processes = []
            try:
                said = self._start(processes, scratch)
                last = yield from self._read(processes[-1].stdout)
                self._check([process.wait() for process in processes], said, last)
            finally:
                # If there was an error or the caller stops early, kill all processes.
                for process in processes:
                    if process.poll() is None:
                        process.kill()
                        process.wait()
                    if process.stdout:
                        process.stdout.close()

    def _start(self, processes, scratch):
        said, source = [], subprocess.DEVNULL
        for command in self.pipeline:
            name = os.path.basename(command[0])
            arguments = command if processes else [*command, self.path]
            said.append(os.path.join(scratch, name))
            with open(said[-1], "wb") as stderr:
                try:
                    process = subprocess.Popen(arguments, stdin=source, stdout=subprocess.PIPE, stderr=stderr)
                except OSError as error:
                    reason = f"{command[0]} cannot be run: {error.strerror}; give the directory of the tools with --tools"
                    raise ToolFailed(f"{self.name}: {reason}", False) from error
            if processes:
                # Close our end of the pipe: only then does a tool notice that the next tool has died.
                processes[-1].stdout.close()
            processes.append(process)
            source = process.stdout
        return said

    def _read(self, stdout):
        rest = last = b""
        while True:
            block = stdout.read(BLOCK)
            if not block:
                break
            block = rest + block
            end = block.rfind(b"\n") + 1
            block, rest = block[:end], block[end:]
            if not block:
                continue
            self.events += block.count(AUTH)
            if GAP in block:
                self._see_gaps(block)
            last = block[block.rfind(b"\n", 0, len(block) - 1) + 1:]
            yield block
        return last

    def _see_gaps(self, block):
        for line in block.splitlines():
            if line.startswith(GAP):
                reason = re.search(rb'"reason":"((?:[^"\\]|\\.)*)"', line)
                self.damage.append(reason[1].decode("utf-8", "replace") if reason else "a part could not be read")

    def _check(self, codes, said, last):
        texts = []
        for path in said:
            with open(path, "rb") as file:
                file.seek(max(0, os.path.getsize(path) - KEPT))
                texts.append(file.read().decode("utf-8", "replace"))
        failed = [(os.path.basename(path), code) for path, code in zip(said, codes) if code != 0]
        if failed or not last.startswith(END):
            ends = ", ".join(f"{tool} ended with {how(code)}" for tool, code in failed) or "the output has no end record"
            words = " | ".join(line for text, code in zip(texts, codes) if code != 0 or not failed
                               for line in text.splitlines() if is_message(line))
            message = f"{self.name}: {ends}" + (f": {words}" if words else "")
            # Nobody knows which tool failed first. So if one of the errors can be temporary, the
            # whole failure counts as temporary.
            raise ToolFailed(message, bool(failed) and all(code in PERMANENT for _, code in failed))
        self.lines, self.rejects = count("lines read", texts[1]), count("unparsable", texts[1])


def how(code):
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def is_message(line):
    return bool(re.match(r"mls-[a-z]+: (?!info: )", line))


def count(name, stats):
    """Returns a number that mls-parse --stats has printed."""
    found = re.search(rf"^{name}: (\d+)$", stats, re.MULTILINE)
    if not found:
        raise ValueError(f"mls-parse --stats does not print {name!r}")
    return int(found[1])


def printable(text):
    """Makes a message safe for a terminal: names of files and lines of logs can contain escape sequences."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def find_tools(options, directory):
    """Uses the tools of this source tree or package if --tools does not say where they are."""
    if options.tools is None and shutil.which("mls-parse") is None:
        built = os.path.join(directory, "..", "target", "release")
        if os.path.exists(os.path.join(built, "mls-parse")):
            options.tools = os.path.abspath(built)
