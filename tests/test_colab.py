"""`make colab`: a badge and a first cell that installs the course there, and does nothing elsewhere."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

from IPython.core.inputtransformer2 import TransformerManager

from tools import colab


def test_the_first_cell_installs_the_course(tmp_path, monkeypatch):
    """From the repository that is named, and switches on the chat cell's widget; elsewhere it is silent."""
    assert colab.main(["ada/llm-course"], tmp_path) == 0
    cells = json.loads((tmp_path / "01_raw_call.ipynb").read_text(encoding="utf-8"))["cells"]
    badge = "".join(cells[0]["source"]).splitlines()[0]
    assert "/github/ada/llm-course/blob/main/colab/01_raw_call.ipynb" in badge

    done = []
    shell = SimpleNamespace(run_line_magic=lambda *magic: done.append(magic))
    code = TransformerManager().transform_cell("".join(cells[1]["source"]))
    exec(code, {"get_ipython": lambda: shell})
    assert done == []
    there = ModuleType("google.colab")
    there.output = SimpleNamespace(enable_custom_widget_manager=lambda: done.append("widgets"))
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", there)
    exec(code, {"get_ipython": lambda: shell})
    assert done == [("pip", 'install --quiet "git+https://github.com/ada/llm-course"'), "widgets"]
