"""A program at a pseudo-terminal: type, wait for what it shows, press Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator

CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\r(?!\n)")  # moves the cursor, or colours the text


class Terminal:
    """What a person would see and type. `shown` is all that the program wrote, line ends made plain."""

    def __init__(self, command: list[str], env: dict[str, str], stdout: int | None = None) -> None:
        self.master, slave = pty.openpty()
        streams = {"stdin": slave, "stdout": slave if stdout is None else stdout, "stderr": slave}
        how = {"start_new_session": True, "preexec_fn": _own_the_terminal}
        self.process = subprocess.Popen(command, env=os.environ | env, **streams, **how)
        os.close(slave)
        self._bytes, self._seen = b"", 0

    @property
    def shown(self) -> str:
        return CONTROLS.sub("", self._bytes.decode(errors="ignore")).replace("\r\n", "\n")

    def until(self, text: str, seconds: float = 30) -> str:
        """Wait until `text` is shown after what was waited for last; what came on the way."""
        end = time.monotonic() + seconds
        while (at := self.shown.find(text, self._seen)) < 0:
            if not self.read(end - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown after:\n{self.shown[self._seen - 200 :]}")
        came, self._seen = self.shown[self._seen : at + len(text)], at + len(text)
        return came

    def type(self, text: str, end: str = "\n") -> None:
        """Type `text` and Enter."""
        os.write(self.master, (text + end).encode())

    def paste(self, text: str) -> None:
        """Paste `text`, as a terminal hands it on that was asked to say where a paste begins and ends."""
        self.type(f"\x1b[200~{text}\x1b[201~", end="")

    def press(self, key: str) -> None:
        """Press Ctrl and `key`."""
        os.write(self.master, bytes([ord(key.upper()) - 64]))

    def end(self, seconds: float = 30) -> int:
        """Wait for the program's end; its exit status."""
        end = time.monotonic() + seconds
        while self.read(end - time.monotonic()):
            pass
        return self.process.wait(timeout=5)

    def read(self, seconds: float) -> bool:
        """Read some; False at the end, or after `seconds`."""
        ready, _, _ = select.select([self.master], [], [], max(seconds, 0))
        with contextlib.suppress(OSError):  # Linux says so where the other end is closed
            more = os.read(self.master, 65536) if ready else b""
            self._bytes += more
            return bool(more)
        return False


def _own_the_terminal() -> None:
    """In the child: the terminal is its own, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def terminal(command: list[str], env: dict[str, str], stdout: int | None = None) -> Iterator[Terminal]:
    """A `Terminal` for as long as the block lasts."""
    opened = Terminal(command, env, stdout)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.master)
