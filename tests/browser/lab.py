"""JupyterLab in a real browser, for tests: one server and one Chromium a session, one page a test."""

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
from playwright.sync_api import Browser, Locator, Request, expect

SETTINGS = {
    # Without windowing off, outputs outside the window read as empty.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
CHROMIUM_FLAGS = ["--no-proxy-server", "--disable-gpu", "--disable-quic", "--disable-sync"]
expect.set_options(timeout=20_000)  # milliseconds: a busy machine is slow, not wrong


def find_chromium() -> str | None:
    """The path of a Chromium, or None."""
    usual = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, [os.environ.get("COURSE_CHROMIUM") or "", *usual])), None)


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
        foreign = ("ANTHROPIC_", "COURSE_", "JUPYTER", "IPYTHON", "XDG_", "no_proxy")
        env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        env |= {"HOME": str(folder), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "NO_PROXY": "*"}
        options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
        options += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}"]
        command = [sys.executable, "-m", "jupyterlab", "--LabApp.expose_app_in_browser=True", *options]
        log = folder / "server.log"
        outputs = {"stdout": log.open("w"), "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, env=env, start_new_session=True, **outputs)
        deadline = time.monotonic() + 60
        # It takes a free port, and says which in its log.
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError("JupyterLab did not start:\n" + log.read_text()[-2000:])
            time.sleep(0.1)
        self.url = found[0]

    def address(self, name: str) -> str:
        return f"{self.url}/lab/tree/{name}?token={self.token}&reset"

    def end_kernels(self) -> None:
        told = {"headers": {"Authorization": f"token {self.token}"}, "trust_env": False, "timeout": 20}
        with httpx2.Client(base_url=self.url, **told) as client:
            for session in client.get("/api/sessions").json():
                client.delete(f"/api/sessions/{session['id']}")

    def close(self) -> None:
        """End the server and its kernels."""
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
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.context.route(re.compile(rf"^(?!{re.escape(server.url)})(https?|wss?):"), self._refuse)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def _refuse(self, route, request: Request) -> None:
        self.strangers.append(request.url)
        route.abort()

    def on_panel(self, script: str, *arguments: object) -> object:
        """The result of JavaScript in which `panel` is the notebook, `lab` is JupyterLab."""
        given = "async (given) => { const lab = window.jupyterapp, panel = lab.shell.currentWidget; "
        return self.page.evaluate(f"{given}{script} }}", arguments)

    def open(self, notebook: Path | str) -> None:
        """Open a copy of the notebook at a path, or a new one, of one code cell with this source."""
        self.name = f"{secrets.token_hex(4)}.ipynb"
        if isinstance(notebook, Path):
            shutil.copy(notebook, self.server.root / self.name)
        else:
            kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
            made = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
            made.cells = [nbformat.v4.new_code_cell(notebook)]
            nbformat.write(made, self.server.root / self.name)
        self.reload()

    def reload(self) -> None:
        """Load the page anew: the kernel lives on, the page forgets its widgets."""
        self.page.goto(self.server.address(self.name))
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.on_panel("await panel.context.ready; await panel.sessionContext.ready;")

    def command(self, name: str, arguments: dict | None = None) -> object:
        """Run a command of JupyterLab and wait for it."""
        return self.on_panel("return (await lab.commands.execute(...given)) ?? null;", name, arguments or {})

    def run_all(self) -> bool:
        """Run all cells and wait until all have ended; False where one failed."""
        return self.command("notebook:run-all-cells") is not False

    def run_cell(self, index: int, *, wait: bool = True) -> bool:
        """Run the cell `index`, and wait until it has ended; False where it failed."""
        self.on_panel("panel.content.activeCellIndex = given[0]; panel.content.deselectAll();", index)
        ran = "const ran = lab.commands.execute('notebook:run-cell');"
        return self.on_panel(f"{ran} return !given[0] || (await ran) !== false;", wait)

    def add_cell(self, source: str) -> int:
        """Append a code cell; returns its index."""
        script = """const model = panel.content.model.sharedModel, [source] = given;
            model.insertCell(model.cells.length, {cell_type: "code", source, metadata: {trusted: true}});
            return model.cells.length - 1;"""
        return self.on_panel(script, source)

    def show(self, source: str) -> int:
        """Run `source` in a new cell at the end; returns its index."""
        index = self.add_cell(source)
        self.run_cell(index)
        return index

    def run(self, source: str) -> str:
        """`show`; returns what was printed or displayed, as text."""
        return self.text(self.show(source))

    def notebook(self) -> dict:
        """The notebook as it stands in the page and would be saved."""
        return self.on_panel("return panel.content.model.toJSON();")

    def text(self, index: int) -> str:
        """What the cell `index` printed and displayed, as text."""
        outputs = self.notebook()["cells"][index]["outputs"]
        shown = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)
        return "".join(map("".join, shown))

    def errors(self) -> list[str]:
        """Every error among the outputs: name and words."""
        outputs = (output for cell in self.notebook()["cells"] for output in cell.get("outputs", ()))
        return [f"{out['ename']}: {out['evalue']}" for out in outputs if out["output_type"] == "error"]

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def theme(self, dark: bool) -> None:
        """Switch between JupyterLab's light and dark theme."""
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.command("apputils:change-theme", {"theme": name})
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)

    def close(self) -> None:
        """Close the page and end its kernels."""
        self.context.close()
        self.server.end_kernels()
