# Acts as a person at a terminal. argv is the command. stdin has pairs of texts: the text to wait
# for, and the text to type then. A NUL ends each text.
import os, pty, select, signal, sys

steps = sys.stdin.buffer.read().split(b"\0")[:-1]
pid, terminal = pty.fork()
if pid == 0:
    # A test that runs in the background ignores SIGINT, and the command would inherit this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
shown, seen = b"", 0


def read():
    ready, _, _ = select.select([terminal], [], [], 120)
    if not ready:
        sys.exit("nothing was shown for two minutes, after: " + shown.decode(errors="replace"))
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


for wait, send in zip(steps[::2], steps[1::2]):
    while shown.find(wait, seen) < 0:
        more = read()
        if not more:
            sys.exit("%r never came, after: %s" % (wait, shown.decode(errors="replace")))
        shown += more
    seen = shown.find(wait, seen) + len(wait)
    os.write(terminal, send)
while more := read():
    shown += more
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
sys.stdout.flush()
code = os.waitstatus_to_exitcode(status)
sys.exit(128 - code if code < 0 else code)
