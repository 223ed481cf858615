"""What the demos share: processes that end with them, free ports, waiting, printing. Python's standard library only."""

import contextlib
import ctypes
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time

STOP_SECONDS, TAIL_LINES = 5, 15
PR_SET_PDEATHSIG = 1
# Below those that systems give to outgoing connections, which could take one before it is listened on.
OTHER_PORTS = range(20000, 32000)
CLAIMS = []

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
FAILED = []


class Problem(Exception):
    """The demo cannot go on."""


class Processes:
    """Processes with a log each; they end with the block, or when this process dies in whatever way."""

    def __init__(self, folder):
        self.folder, self.running = folder, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.terminate()
        end = time.monotonic() + STOP_SECONDS
        for process in self.running.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name):
        return self.folder / f"{name}.log"

    def tail(self, name, lines=TAIL_LINES):
        text = self.log(name).read_text(errors="replace").splitlines()[-lines:]
        return f"the end of the log of {name}:\n" + "\n".join(f"    {line}" for line in text)

    def start(self, name, *command, output=None):
        """`output`: a file for standard output, if that is not for the log as well."""
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(self.log(name), "a"))
            output = stack.enter_context(open(output, "w")) if output else log
            words = [str(word) for word in command]
            self.running[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True, preexec_fn=end_with_parent, env=environment()
            )

    def stop(self, name, how=signal.SIGTERM, seconds=STOP_SECONDS):
        """Ends one; its exit code."""
        process = self.running.pop(name)
        process.send_signal(how)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Problem(f"{name} did not end within {seconds} seconds; {self.tail(name)}") from None

    def check(self):
        """None has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Problem(f"{name} ended with {process.returncode}; {self.tail(name)}")


def environment(**more):
    """Without settings of Ninon that are meant for something else."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NINON_")} | more


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def interrupt_on_signals():
    """SIGTERM and SIGHUP end the demo as Ctrl-C does."""

    def interrupted(*_):
        raise KeyboardInterrupt

    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, interrupted)


def claim(port):
    """Whether the port is this demo's from here on: nobody listens there, and no other demo is about to."""
    with contextlib.ExitStack() as stack:
        mark = stack.enter_context(socket.socket(socket.AF_UNIX))
        probe = stack.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            mark.bind(f"\0ninon-demo-port-{port}")
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        probe.close()
        CLAIMS.append(mark)
        stack.pop_all()
        return True


def free_port():
    return next(port for port in iter(lambda: random.choice(OTHER_PORTS), None) if claim(port))


def moved_ports(ports):
    """Those that are taken, each with a free one to take its place."""
    moved = {port: free_port() for port in sorted(ports) if not claim(port)}
    if moved:
        print("Taken ports are replaced: " + ", ".join(f"{old} -> {new}" for old, new in moved.items()))
    return moved


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def until(seconds, what, ask, pause=0.05):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(pause)
    raise Problem(f"not within {seconds} seconds: {what}")


def run(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, env=environment(**more))


def wait_for_interrupt():
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def check(what, holds):
    if not holds:
        FAILED.append(what)
        say(f"  NOT AS EXPECTED: {what}", bold=True)


def section(title):
    say(f"\n{title}\n", bold=True)


def say_command(*words, comment=""):
    say(f"\n  $ {shlex.join(str(word) for word in words)}{'    # ' + comment if comment else ''}", bold=True)


def say(text, bold=False, after=[""]):
    """Prints; of several empty lines after one another, the first. `after` remembers the last line."""
    for line in text.split("\n"):
        if line or after[0]:
            print(f"\033[1m{line}\033[0m" if COLOUR and bold and line else line, flush=True)
        after[0] = line
