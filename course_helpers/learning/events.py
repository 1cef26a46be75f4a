"""What the learner did: one small private file an event, written once and never changed.

No other process can choose an event's name, so two notebooks at once need no lock and cannot undo each other.
No event holds the text of an answer. `COURSE_DATA_DIR` names another folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..files import write_whole

Event = dict[str, Any]
IMPORTED = "0-imported.json"
# Where JupyterLite shows a kernel the browser's storage; all else in a tab is memory, gone at a reload.
DRIVE = Path("/drive")


class Store:
    """The events: in the folder, or here where they could not be written. The disk never stops a lesson."""

    def __init__(self) -> None:
        self.unsaved: list[Event] = []
        self.trouble = ""  # why the folder could not be used the last time; "" if it could
        self.unreadable: list[Path] = []
        self._known: dict[Path, Event | None] = {}  # read once, as they never change; None: not an event
        self._told = False
        self._lock = threading.Lock()  # a widget answers on another thread than a cell

    @property
    def folder(self) -> Path:
        """Where the files are, or will be. Raises OSError where there is no place for them."""
        named = os.environ.get("COURSE_DATA_DIR", "")
        if named and not named.startswith("~"):
            return Path(named)
        if sys.platform == "emscripten":
            if not DRIVE.is_dir():
                raise OSError("this page gives notebooks no storage")
            return DRIVE / "course-progress"
        from platformdirs import user_data_path

        path = Path()
        with contextlib.suppress(RuntimeError):  # an unknown user
            path = Path(named).expanduser() if named else user_data_path("llm-api-course", appauthor=False)
        # A home folder that is not there is not made: neither as a folder called "~" nor as one beneath "/".
        if not path.is_absolute() or path.anchor == str(next(p for p in path.parents if p.is_dir())):
            raise OSError("there is no home folder")
        return path

    def events(self) -> list[Event]:
        """All events, oldest first."""
        found, self.unreadable = [], []
        with self._disk():
            files = sorted(self.folder.glob("events/*.json"))
            old = self.folder / "progress.json"  # of release 1.0: read once, then an event among the others
            if old.is_file() and not (self.folder / "events" / IMPORTED).exists():
                found.append(self._read(old))
                with contextlib.suppress(OSError):
                    self._write(IMPORTED, found[0]) if found[0] else None
            found += map(self._read, files)
        return [event for event in found if event] + self.unsaved

    def add(self, kind: str, name: str, **facts: Any) -> str:
        """Keep an event. Returns a sentence, once, where it cannot be saved, else ""."""
        with self._lock:
            self.unsaved.append({"kind": kind, "name": name, **facts, "at": time.time()})
            with self._disk():
                while self.unsaved:  # what could not be written before goes first
                    unique = f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(6)}.json"
                    self._write(unique, self.unsaved[0])
                    del self.unsaved[0]
            told, self._told = self._told, self._told or bool(self.unsaved)
            return self.not_saved if self._told and not told else ""

    def reset(self) -> None:
        """Forget everything."""
        self.unsaved.clear()
        with self._disk():
            for file in [*self.folder.glob("events/*.json"), *self.folder.glob("progress*.json")]:
                file.unlink(missing_ok=True)

    @property
    def not_saved(self) -> str:
        """The sentence that says so."""
        return f"Your progress cannot be saved here ({self.trouble}): it lasts until the kernel restarts."

    @contextlib.contextmanager
    def _disk(self):
        try:
            yield
            self.trouble = self.trouble if self.unsaved else ""
        except OSError as error:
            self.trouble = error.strerror or str(error)

    def _write(self, name: str, event: Event) -> None:
        folder = self.folder / "events"
        if folder.parent.exists() and not folder.parent.is_dir():
            raise OSError(f"{folder.parent} is no folder")
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / name, json.dumps(event).encode())

    def _read(self, path: Path) -> Event | None:
        """The event that `path` holds; None, noted in `unreadable`, where it holds none."""
        if path not in self._known:
            try:
                event = json.loads(path.read_bytes())
            except FileNotFoundError:  # forgotten by another notebook just now
                return None
            except (ValueError, RecursionError):
                event = None
            self._known[path] = event if _is_event(event) else None
        if self._known[path] is None:
            self.unreadable.append(path)
        return self._known[path]


def _is_event(event: object) -> bool:
    if not isinstance(event, dict) or "kind" not in event:
        return isinstance(event, dict) and isinstance(event.get("passed"), list)  # the file of release 1.0
    return isinstance(event["kind"], str) and isinstance(event.get("name"), str)


store = Store()
