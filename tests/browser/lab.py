"""JupyterLab in a real browser, for tests: one server and one Chromium a session, one page a test.

def test_lesson(lab):
    lab.open(Path("notebooks/01_raw_call.ipynb"))     # a copy: the file itself is never written
    lab.run_all()
    assert lab.errors() == []
    lab.screenshot("lesson-01")                       # where COURSE_SCREENSHOTS says, else nowhere
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

REPOSITORY = Path(__file__).parents[2]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTINGS = {
    # Without windowing off, outputs outside the window read as empty.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]


def find_chromium() -> str | None:
    """The path of a Chromium, or None."""
    found = [os.environ.get("COURSE_CHROMIUM")] + [shutil.which(name) for name in CHROMIUMS]
    return next((path for path in found if path and Path(path).exists()), None)


expect.set_options(timeout=20_000)  # milliseconds: a busy machine is slow, not wrong


class Server:
    """A JupyterLab server of its own, in a folder of its own, that touches nobody's settings."""

    def __init__(self, folder: Path):
        self.root = folder / "notebooks"
        self.root.mkdir()
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        for name, values in SETTINGS.items():
            file = folder / "settings" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        homes = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
            "XDG_DATA_HOME": "share",
            "XDG_STATE_HOME": "state",
        }
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANTHROPIC_", "COURSE_"))
        }
        environment |= {name: str(folder / sub) for name, sub in homes.items()}
        environment |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
                *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}"),
                "--LabApp.expose_app_in_browser=True",
            ],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("JupyterLab did not start:\n" + Path(self.log.name).read_text()[-2000:])
            time.sleep(0.1)

    def address(self, name: str) -> str:
        """Where the page of the notebook `name` is."""
        return f"{self.url}/lab/tree/{name}?token={self.token}&reset"

    def _answers(self) -> bool:
        try:
            return bool(self.get("/api/status"))
        except OSError:
            return False

    def get(self, path: str, method: str = "GET") -> object:
        """The JSON that the server answers on `path`."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def end_kernels(self) -> None:
        """Shut down every kernel."""
        for session in self.get("/api/sessions"):
            try:
                self.get(f"/api/sessions/{session['id']}", method="DELETE")
            except urllib.error.HTTPError as error:
                if error.code not in (404, 410):
                    raise

    def stop(self) -> None:
        """End the server and its kernels."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


class Lab:
    """One JupyterLab page. `page` is the Playwright page, for what has no method here."""

    def __init__(self, server: Server, browser: Browser, *, dark: bool = False):
        self.server = server
        self.strangers: list[str] = []
        """Addresses outside this server that the page asked for; none is let through."""
        self.faults: list[str] = []
        """Uncaught errors of the page's scripts."""
        self.context: BrowserContext = browser.new_context(
            viewport={"width": 1280, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self.context.route(re.compile(rf"^(?!{re.escape(server.url)})(https?|wss?):"), self._refuse)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self._dark = dark

    def _refuse(self, route, request: Request) -> None:
        self.strangers.append(request.url)
        route.abort()

    # -- opening and running

    def open(self, notebook: Path | str | dict | list[str]) -> None:
        """Open a copy of a notebook: a path, the notebook as a dict, or the sources of its code cells."""
        name = f"{secrets.token_hex(4)}.ipynb"
        if isinstance(notebook, list):
            notebook = notebook_of(notebook)
        if isinstance(notebook, dict):
            (self.server.root / name).write_text(json.dumps(notebook))
        else:
            name = f"{name[:8]}-{Path(notebook).name}"
            shutil.copy(REPOSITORY / notebook, self.server.root / name)
        self.name = name
        self._goto()

    def reload(self) -> None:
        """Load the page anew: the kernel lives on, the page forgets its widgets."""
        self._goto()

    def _goto(self) -> None:
        self.page.goto(self.server.address(self.name))
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.page.evaluate(
            """async () => {
                const panel = window.jupyterapp.shell.currentWidget;
                await panel.context.ready;
                await panel.sessionContext.ready;
            }"""
        )
        self.theme(self._dark)

    def command(self, name: str, arguments: dict | None = None) -> object:
        """Run a command of JupyterLab and wait for it."""
        return self.page.evaluate(
            "async ([name, args]) => (await window.jupyterapp.commands.execute(name, args)) ?? null",
            [name, arguments or {}],
        )

    def run_all(self) -> bool:
        """Run all cells and wait until all have ended; False where one failed."""
        return self.command("notebook:run-all-cells") is not False

    def start_cell(self, index: int) -> None:
        """Run the cell `index` without waiting for it."""
        self.page.evaluate(
            """([index]) => {
                const panel = window.jupyterapp.shell.currentWidget;
                panel.content.activeCellIndex = index;
                panel.content.deselectAll();
                window.lastRun = window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            [index],
        )

    def run_cell(self, index: int) -> bool:
        """Run the cell `index` and wait until it has ended; False where it failed."""
        self.start_cell(index)
        return self.page.evaluate("async () => (await window.lastRun) !== false")

    def add_cell(self, source: str) -> int:
        """Append a code cell; returns its index."""
        return self.page.evaluate(
            """([source]) => {
                const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
                model.insertCell(model.cells.length, {cell_type: "code", source, metadata: {trusted: true}});
                return model.cells.length - 1;
            }""",
            [source],
        )

    def remove_cell(self, index: int) -> None:
        """Delete the cell `index`."""
        script = (
            "([index]) => window.jupyterapp.shell.currentWidget.content.model.sharedModel.deleteCell(index)"
        )
        self.page.evaluate(script, [index])

    def run(self, source: str) -> str:
        """Run `source` in a new cell at the end; returns what it printed or displayed, as text."""
        index = self.add_cell(source)
        self.run_cell(index)
        return self.text(index)

    def interrupt(self) -> None:
        """Interrupt the kernel."""
        self.command("notebook:interrupt-kernel")

    def restart(self) -> None:
        """Restart the kernel, as the menu does, and wait until it is ready."""
        self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        )

    # -- looking

    def notebook(self) -> dict:
        """The notebook as it stands in the page."""
        return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()")

    def outputs(self, index: int) -> list[dict]:
        """The outputs of the cell `index`, as the notebook file would hold them."""
        return self.notebook()["cells"][index].get("outputs", [])

    def text(self, index: int) -> str:
        """What the cell `index` printed and displayed, as text; of an error, its traceback's last line."""
        parts = []
        for output in self.outputs(index):
            data = output.get("data", {}).get("text/plain")
            parts.append(
                output.get("text") or data or f"{output.get('ename', '')}: {output.get('evalue', '')}"
            )
        return "".join("".join(part) for part in parts)

    def errors(self) -> list[str]:
        """Every error among the outputs: cell number, name and words."""
        return [
            f"cell {number}: {output['ename']}: {output['evalue']}"
            for number, cell in enumerate(self.notebook()["cells"])
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]

    def cell(self, index: int):
        """The Playwright locator of the cell `index`."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def theme(self, dark: bool) -> None:
        """Switch between JupyterLab's light and dark theme."""
        self._dark = dark
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        if self.page.evaluate("() => document.body.dataset.jpThemeName") != name:
            self.command("apputils:change-theme", {"theme": name})
            expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)

    def screenshot(
        self, name: str, *, folder: Path | None = None, full: bool = False, of: Locator | None = None
    ) -> Path | None:
        """Save `name`.png in `folder` or $COURSE_SCREENSHOTS; without either, take it and forget it.

        `full` makes the window as tall as the notebook; `of` shows one element only.
        """
        folder = folder or (Path(kept) if (kept := os.environ.get("COURSE_SCREENSHOTS")) else None)
        size = self.page.viewport_size
        if full:
            height = self.page.evaluate(
                "() => Math.max(...[...document.querySelectorAll('.jp-WindowedPanel-outer, .jp-Notebook')]"
                ".map(node => node.scrollHeight))"
            )
        elif of is not None:
            height = of.bounding_box()["height"]
        if full or of is not None:
            self.page.set_viewport_size({"width": size["width"], "height": min(int(height) + 200, 16_000)})
            self.page.wait_for_timeout(300)
        try:
            picture = (of or self.page).screenshot()
        finally:
            self.page.set_viewport_size(size)
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(picture)
        return folder / f"{name}.png"

    def close(self) -> None:
        """Close the page and end its kernels."""
        self.context.close()
        self.server.end_kernels()


def notebook_of(sources: list[str]) -> dict:
    """A notebook whose code cells have these sources."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
