"""A program at a pseudo-terminal: type, wait for what it shows, press Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\r(?!\n)")
"""What moves a smart terminal's cursor and colours its text."""


class Terminal:
    """What a person would see and type. `shown` is all that the program wrote, line ends made plain."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            **dict.fromkeys(("stdin", "stdout", "stderr"), slave),
            env=os.environ | env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
        )
        os.close(slave)
        self._bytes, self._seen = b"", 0

    @property
    def shown(self) -> str:
        return CONTROLS.sub("", self._bytes.decode(errors="ignore")).replace("\r\n", "\n")

    def until(self, text: str, seconds: float = 30) -> None:
        """Wait until `text` is shown after what was waited for last."""
        end = time.monotonic() + seconds
        while (at := self.shown.find(text, self._seen)) < 0:
            if not self._read(end):
                raise AssertionError(f"{text!r} was not shown after:\n{self.shown[self._seen - 200 :]}")
        self._seen = at + len(text)

    def type(self, text: str, end: str = "\n") -> None:
        """Type `text` and Enter."""
        os.write(self.master, (text + end).encode())

    def end(self) -> int:
        """Wait for the program's end; its exit status."""
        end = time.monotonic() + 30
        while self._read(end):
            pass
        return self.process.wait(timeout=5)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def _read(self, end: float) -> bool:
        """Read some; False at the program's end, or when it is `end`."""
        ready, _, _ = select.select([self.master], [], [], max(end - time.monotonic(), 0))
        with contextlib.suppress(OSError):  # Linux says so where the other end is closed
            more = os.read(self.master, 65536) if ready else b""
            self._bytes += more
            return bool(more)
        return False
