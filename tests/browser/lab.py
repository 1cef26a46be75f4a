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
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import nbformat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

REPOSITORY = Path(__file__).parents[2]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTINGS = {
    # Without windowing off, outputs outside the window read as empty.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
HOMES = (
    *("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR"),
    *("IPYTHONDIR", "XDG_DATA_HOME", "XDG_STATE_HOME"),
)
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--no-first-run",
    "--no-proxy-server",
    *(f"--disable-{each}" for each in QUIET),
]


def find_chromium() -> str | None:
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, [os.environ.get("COURSE_CHROMIUM") or "", *CHROMIUMS])), None)


expect.set_options(timeout=20_000)  # milliseconds: a busy machine is slow, not wrong


class Server:
    """A JupyterLab server of its own, in a folder of its own, that touches nobody's settings."""

    def __init__(self, folder: Path):
        self.root = folder / "notebooks"
        self.root.mkdir()
        self.token = secrets.token_hex(16)
        for name, values in SETTINGS.items():
            file = folder / "settings" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "COURSE_"))}
        env |= {name: str(folder / name.lower()) for name in HOMES}
        env |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "NO_PROXY": "*", "no_proxy": "*"}
        self.log = folder / "server.log"
        options = [
            *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}"),
            "--LabApp.expose_app_in_browser=True",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=env,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        # It takes a free port, and says which in its log.
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("JupyterLab did not start:\n" + self.log.read_text()[-2000:])
            time.sleep(0.1)
        self.url = found[0]

    def address(self, name: str) -> str:
        """Where the page of the notebook `name` is."""
        return f"{self.url}/lab/tree/{name}?token={self.token}&reset"

    def end_kernels(self) -> None:
        """Shut down every kernel."""
        told = {"headers": {"Authorization": f"token {self.token}"}, "trust_env": False, "timeout": 20}
        with httpx2.Client(base_url=self.url, **told) as client:
            for session in client.get("/api/sessions").json():
                client.delete(f"/api/sessions/{session['id']}")

    def stop(self) -> None:
        """End the server and its kernels."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)


class Lab:
    """One JupyterLab page. `page` is the Playwright page, for what has no method here."""

    def __init__(self, server: Server, browser: Browser):
        self.server = server
        self.strangers: list[str] = []  # addresses outside that the page asked for: none is let through
        self.faults: list[str] = []  # uncaught errors of the page's scripts
        self.context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 900})
        self.context.route(re.compile(rf"^(?!{re.escape(server.url)})(https?|wss?):"), self._refuse)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self._dark = False

    def _refuse(self, route, request: Request) -> None:
        self.strangers.append(request.url)
        route.abort()

    def _on_panel(self, script: str, *arguments: object) -> object:
        """The result of JavaScript that calls the notebook's panel `panel`, and JupyterLab `lab`."""
        given = "async (given) => { const lab = window.jupyterapp, panel = lab.shell.currentWidget; "
        return self.page.evaluate(f"{given}{script} }}", arguments)

    def open(self, notebook: Path | str | dict | list[str]) -> None:
        """Open a copy of a notebook: a path, the notebook as a dict, or the sources of its code cells."""
        self.name = f"{secrets.token_hex(4)}.ipynb"
        if isinstance(notebook, list):
            cells = [nbformat.v4.new_code_cell(source) for source in notebook]
            kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
            notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        if isinstance(notebook, dict):
            (self.server.root / self.name).write_text(json.dumps(notebook))
        else:
            shutil.copy(REPOSITORY / notebook, self.server.root / self.name)
        self.reload()

    def reload(self) -> None:
        """Load the page anew: the kernel lives on, the page forgets its widgets."""
        self.page.goto(self.server.address(self.name))
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self._on_panel("await panel.context.ready; await panel.sessionContext.ready;")
        self.theme(self._dark)

    def command(self, name: str, arguments: dict | None = None) -> object:
        """Run a command of JupyterLab and wait for it."""
        return self._on_panel("return (await lab.commands.execute(...given)) ?? null;", name, arguments or {})

    def run_all(self) -> bool:
        """Run all cells and wait until all have ended; False where one failed."""
        return self.command("notebook:run-all-cells") is not False

    def start_cell(self, index: int) -> None:
        """Run the cell `index` without waiting for it."""
        self._on_panel("panel.content.activeCellIndex = given[0]; panel.content.deselectAll();", index)
        self._on_panel("window.lastRun = lab.commands.execute('notebook:run-cell');")

    def run_cell(self, index: int) -> bool:
        """Run the cell `index` and wait until it has ended; False where it failed."""
        self.start_cell(index)
        return self._on_panel("return (await window.lastRun) !== false;")

    def add_cell(self, source: str) -> int:
        """Append a code cell; returns its index."""
        script = """const model = panel.content.model.sharedModel, [source] = given;
            model.insertCell(model.cells.length, {cell_type: "code", source, metadata: {trusted: true}});
            return model.cells.length - 1;"""
        return self._on_panel(script, source)

    def remove_cell(self, index: int) -> None:
        """Delete the cell `index`."""
        self._on_panel("panel.content.model.sharedModel.deleteCell(given[0]);", index)

    def run(self, source: str) -> str:
        """Run `source` in a new cell at the end; returns what it printed or displayed, as text."""
        index = self.add_cell(source)
        self.run_cell(index)
        return self.text(index)

    def interrupt(self) -> None:
        """Interrupt the kernel."""
        self.command("notebook:interrupt-kernel")

    def notebook(self) -> dict:
        """The notebook as it stands in the page."""
        return self._on_panel("return panel.content.model.toJSON();")

    def outputs(self, index: int) -> list[dict]:
        """The outputs of the cell `index`, as the notebook file would hold them."""
        return self.notebook()["cells"][index].get("outputs", [])

    def text(self, index: int) -> str:
        """What the cell `index` printed and displayed, as text; of an error, its traceback's last line."""
        parts = []
        for output in self.outputs(index):
            shown = output.get("text") or output.get("data", {}).get("text/plain")
            parts.append("".join(shown or f"{output.get('ename', '')}: {output.get('evalue', '')}"))
        return "".join(parts)

    def errors(self) -> list[str]:
        """Every error among the outputs: cell number, name and words."""
        return [
            f"cell {number}: {output['ename']}: {output['evalue']}"
            for number, cell in enumerate(self.notebook()["cells"])
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]

    def cell(self, index: int) -> Locator:
        """The Playwright locator of the cell `index`."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def theme(self, dark: bool) -> None:
        """Switch between JupyterLab's light and dark theme."""
        self._dark = dark
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        if self.page.evaluate("() => document.body.dataset.jpThemeName") != name:
            self.command("apputils:change-theme", {"theme": name})
            expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)

    def screenshot(self, name: str, *, full: bool = False, of: Locator | None = None) -> None:
        """Save `name`.png in $COURSE_SCREENSHOTS, if that is set; `full`: all the notebook, `of`: a part."""
        if not (folder := os.environ.get("COURSE_SCREENSHOTS")):
            return
        size = self.page.viewport_size
        if full or of is not None:
            part = of or self.page.locator(".jp-WindowedPanel-outer").first
            height = min(int(part.evaluate("node => node.scrollHeight")) + 200, 16_000)
            self.page.set_viewport_size({"width": size["width"], "height": height})
            self.page.wait_for_timeout(300)
        (of or self.page).screenshot(path=Path(folder) / f"{name}.png")
        self.page.set_viewport_size(size)

    def close(self) -> None:
        """Close the page and end its kernels."""
        self.context.close()
        self.server.end_kernels()
