"""check and exercise, in plain Python and in a Jupyter kernel."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from course_helpers.learning import CheckFailed, check, exercise, sandbox
from course_helpers.learning import exercises as marking


@pytest.fixture(autouse=True)
def _own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "progress"))
    monkeypatch.setattr(marking, "_failures", {})


def graded(code: str, name: str = "ask"):
    """The outcome of an exercise whose learner wrote `code`."""
    namespace = {"MODEL": "claude-haiku-5-5"}
    exec(compile(code, "<learner>", "exec"), namespace)
    namespace["exercise"] = exercise
    return eval(f"exercise({name!r})", namespace)


def test_check(capsys):
    """A claim that holds is one line; one that does not raises and says what was seen, whatever that is."""
    import numpy

    hostile = type("Hostile", (list,), {"__repr__": lambda self: 1 / 0})()
    for truth, seen in (
        *((falsy, repr(falsy)) for falsy in (False, 0, "", [], None)),
        (numpy.array([1, 2]) == numpy.array([1, 2]), "ndarray, which is not one truth"),
        (hostile, "an object of type Hostile"),
    ):
        with pytest.raises(CheckFailed, match=r"the claim\n  seen: ") as caught:
            check("the claim", truth)
        assert seen in str(caught.value)
    assert check("two and two are four", 2 + 2 == 4) is None
    assert capsys.readouterr().out == "✓ two and two are four\n"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "ask = ...",
        "ask = None",
        "def ask(question): ...",
        "def ask(question): pass",
        "def ask(question):\n    '''Return it.'''\n    # your code",
        "def ask(question):\n    '''Return it.'''\n    ...",
        "def ask(question):\n    raise NotImplementedError",
    ],
)
def test_not_started(code):
    """A stub and NotImplementedError are no mistakes; asking again brings a hint each time."""
    shown = [repr(graded(code)) for _ in range(5)]
    assert shown[0] == (
        "Exercise 1.1 · Ask · not started\n"
        "  Write the body of ask in the cell above, run that cell, then this one."
    )
    assert [re.findall(r"Hint \d of 3", text) for text in shown] == [
        [],
        *([f"Hint {n} of 3"] for n in (1, 2, 3, 3)),
    ]
    assert "one call through the SDK" in " ".join(shown[1].split())


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("ask = 'Paris'", "ask is no function but of type str"),
        ("def ask(): return 1", "it raised TypeError: ask() takes 0 positional arguments but 1 was given"),
        ("def ask(question):\n    return 1 / 0", "it raised ZeroDivisionError: division by zero (line 2"),
        ("def ask(question):\n    return paris", "it raised NameError: name 'paris' is not defined (line 2"),
        ("def ask(question):\n    import sys; sys.exit(3)", "it called sys.exit() or exit(): return instead"),
        ("def ask(question):\n    return ask(question)", "it raised RecursionError"),
        ("def ask(question):\n    return input('Which? ')", "input() has nobody to ask here"),
        ("def ask(question):\n    raise BaseException('odd')", "it raised BaseException: odd"),
        ("async def ask(question):\n    return 'Paris'", "no request reached the API"),
        (
            "def ask(question):\n    assert question == 'x', 'a word'",
            "it raised AssertionError: a word (line 2",
        ),
        ("def ask(question):\n    yield 'Paris'", "no request reached the API"),
        ("class Odd(Exception):\n    __str__ = None\ndef ask(question): raise Odd", "it raised Odd (line 3"),
        (
            "def ask(question): raise ValueError(f'{object()} ' * 1000)",
            "it raised ValueError: <object object> <",
        ),
        ("class ask:\n    def __init__(self, question): pass", "no request reached the API"),
    ],
)
def test_mistakes_in_words(code, seen):
    """Whatever the learner's function raises or is, it comes out as a sentence."""
    outcome = graded(code)
    assert outcome.state == "not yet"
    assert seen in " ".join(repr(outcome).split())
    assert len(repr(outcome)) < 800


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        (
            "type('Odd', (str,), dict.fromkeys(['__eq__', '__repr__', '__len__'], lambda *_: 1 / 0))('x')",
            "of type Odd",
        ),
        ("'x' * 10**7", "it returned 'xxx"),
        ("(deep := [], [deep := [deep] for _ in range(9999)])[1][-1]", "not text"),
        ("(_ for _ in iter(int, 1))", "it returned <generator object"),
        ("object()", "it returned <object object>, not text"),
        ("print(*['spam'] * 10**6)", "It printed: spam spam"),
    ],
)
def test_odd_results(result, seen, capsys):
    """A result is shown short, whatever it is, and what was printed shows nowhere else."""
    asked = "messages=[{'role': 'user', 'content': question}]"
    call = f"anthropic.Anthropic().messages.create(model=MODEL, max_tokens=9, {asked})"
    text = repr(graded(f"import anthropic\ndef ask(question):\n    {call}\n    return {result}"))
    assert seen in " ".join(text.split())
    assert len(text) < 1_000
    assert capsys.readouterr().out == ""


# exercise: the time limit

LOOPS = {
    "plain": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "except Exception": """
while True:
    try: 1 / 0
    except Exception: continue""",
    "bare except": """
while True:
    try:
        while True: x = 1
    except:
        pass""",
    "finally": """
while True:
    try: x = 1
    finally: continue""",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_endless_loops_end(loop):
    """Each kind of endless loop ends at the limit, also one that swallows everything."""
    namespace: dict = {}
    exec("def f():\n" + "\n".join(f"    {line}" for line in LOOPS[loop].splitlines()), namespace)
    ran = sandbox.run(namespace["f"], seconds=0.3)
    assert isinstance(ran.error, sandbox.TimeUp)
    assert "loop that never ends" in sandbox.in_words(ran.error)


def test_another_thread_has_a_limit_too():
    """Away from the main thread, and so on Windows, the run has a thread of its own that is asked to end."""
    results = []

    def work() -> None:
        results.append(sandbox.run(lambda: [None for _ in iter(int, 1)], seconds=0.2))
        results.append(sandbox.run(lambda: 7, seconds=5))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(10)
    assert isinstance(results[0].error, sandbox.TimeUp)
    assert results[1].value == 7
    deadline = time.monotonic() + 9
    while any(thread.name == "exercise" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("wait", ["asyncio.sleep(60)", "asyncio.to_thread(time.sleep, 0.1)"])
def test_a_coroutine_is_run_to_its_end_or_its_limit(wait):
    """What an `async def` comes to, also where a loop is running already, as in a notebook."""
    namespace: dict = {}
    exec(f"import asyncio, time\nasync def f():\n    await {wait}\n    return 7", namespace)

    async def in_a_notebook() -> sandbox.Ran:
        return sandbox.run(namespace["f"], seconds=0.5)

    for ran in (sandbox.run(namespace["f"], seconds=0.5), asyncio.run(in_a_notebook())):
        assert ran.is_async
        assert ran.value == 7 if "thread" in wait else isinstance(ran.error, sandbox.TimeUp)


# In a kernel, and in fresh processes

CELLS = [
    "import anthropic\nfrom course_helpers import MODEL, connect, practice\n"
    "from course_helpers.learning import sandbox\n"
    "from course_helpers.learning import check, exercise, progress, quiz\n"
    "sandbox.TIME_LIMIT = 1\nclient = connect()",
    "def ask(question):\n    ...",
    "exercise('ask')",
    "def ask(question):\n    message = client.messages.create(model=MODEL, max_tokens=300,"
    " messages=[{'role': 'user', 'content': question}])\n    return message.content[0].text",
    "exercise('ask')",
    "def ask(question):\n    while True: pass",
    "exercise('ask')",
    "def ask(question):\n    return 'Jupiter.'",
    "def ask(question):\n    return client.messages.create(model=MODEL",
    "exercise('ask')",
    "def ask(question):\n    message = client.messages.create(model=MODEL, max_tokens=300,"
    " messages=[{'role': 'user', 'content': question}])\n"
    "    return ''.join(b.text for b in message.content if b.type == 'text')",
    "exercise('ask')",
    "async def ask(question):\n    twin = anthropic.AsyncAnthropic()\n"
    "    asked = [{'role': 'user', 'content': question}]\n"
    "    message = await twin.messages.create(model=MODEL, max_tokens=300, messages=asked)\n"
    "    return ''.join(b.text for b in message.content if b.type == 'text')",
    "exercise('ask')",
    "quiz('raw_call')",
    "progress()",
    "check('the lesson journal is untouched', len(practice.journal) == 0)",
    "check('this one fails', False)",
]


@pytest.mark.slow
def test_in_a_kernel(tmp_path, monkeypatch):
    """A learner's way through an exercise in a notebook: each outcome as text, no traceback but a line."""
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "kernel"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    for number in (8, -1):
        notebook.cells[number].metadata.tags = ["raises-exception"]
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    texts = [
        "".join(o.get("data", {}).get("text/plain", "") or o.get("text", "") for o in cell.outputs)
        for cell in notebook.cells
    ]
    words = [" ".join(text.split()) for text in texts]
    assert texts[2].startswith("Exercise 1.1 · Ask · not started")
    assert "content[0] is not the text: it raised AttributeError" in words[4]
    assert "(line 3: return message.content[0].text) Hint: No position is sure" in words[4]
    assert "still running when its time was up" in words[6]
    assert "has a syntax error: '(' was never closed (line 2: return client.messages.create(model" in words[9]
    assert texts[11].startswith(
        "✓ Exercise 1.1 · Ask · passed\n  The solution's idea: choose the blocks by their type"
    )
    assert texts[13].startswith("✓ Exercise 1.1")
    assert "It is async: whoever calls it must await it." in words[13]
    assert texts[14] == "Quiz 1 · The raw call · 5 questions: run this cell to answer them."
    assert "1  The raw call                  1 of 2" in texts[15]
    assert texts[16] == "✓ the lesson journal is untouched\n"
    failed = notebook.cells[-1].outputs[0]
    assert failed.ename == "CheckFailed"
    assert "\n".join(failed.traceback) == "✗ this one fails\n  seen: False"


def test_importing_it_is_light():
    """The names of a setup cell bring neither widgets nor a server along."""
    code = (
        "import sys, course_helpers.learning; "
        "print([m for m in ('ipywidgets', 'pandas', 'starlette', 'uvicorn', 'IPython') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=True
    )
    assert done.stdout.strip() == "[]"
