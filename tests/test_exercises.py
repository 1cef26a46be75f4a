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


# check


def test_check_prints_one_line(capsys):
    """A claim that holds is one line with a mark."""
    assert check("two and two are four", 2 + 2 == 4) is None
    assert capsys.readouterr().out == "✓ two and two are four\n"


@pytest.mark.parametrize("falsy", [False, 0, "", [], None])
def test_check_raises_and_says_what_was_seen(falsy):
    """A claim that does not hold raises, with what was seen."""
    with pytest.raises(AssertionError, match=r"the claim\n  seen: ") as caught:
        check("the claim", falsy)
    assert repr(falsy) in str(caught.value)


def test_check_of_something_without_one_truth():
    """An array has no one truth: the claim fails and says so, for two equal arrays too."""
    import numpy

    with pytest.raises(CheckFailed, match="ndarray, which is not one truth"):
        check("equal", numpy.array([1, 2]) == numpy.array([1, 2]))
    check("equal", (numpy.array([1, 2]) == numpy.array([1, 2])).all())


def test_check_survives_a_hostile_value():
    """A value whose repr raises is named by its type."""

    class Hostile:
        def __bool__(self):
            return False

        def __repr__(self):
            raise RuntimeError

    with pytest.raises(CheckFailed, match="an object of type Hostile"):
        check("claim", Hostile())


# exercise: what a learner can do to it


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
        ("class ask:\n    def __init__(self, question): pass", "no request reached the API"),
    ],
)
def test_mistakes_in_words(code, seen):
    """Whatever the learner's function raises or is, it comes out as a sentence."""
    outcome = graded(code)
    assert outcome.state == "not yet"
    assert seen in " ".join(repr(outcome).split())


def test_an_error_whose_own_text_raises():
    """An exception that cannot be shown is named."""
    code = """
class Nasty(Exception):
    def __str__(self): raise RuntimeError
def ask(question): raise Nasty
"""
    assert "it raised Nasty" in repr(graded(code))


def test_long_and_varying_texts_are_tamed():
    """Error texts are cut, and hold no address that differs from run to run."""
    code = "def ask(question):\n    raise ValueError(f'{object()} ' * 1000)"
    text = repr(graded(code))
    assert len(text) < 800
    assert "0x" not in text


HOSTILE = """
class Hostile(str):
    def __eq__(self, other): raise RuntimeError("no comparing")
    def __repr__(self): raise RuntimeError("no showing")
    __str__ = __len__ = __bool__ = __iter__ = __repr__
    __hash__ = None

class Alien:
    __repr__ = __str__ = __eq__ = Hostile.__repr__
    @property
    def __class__(self): raise RuntimeError("no class")

class Endless(list):
    def __iter__(self):
        while True: yield 1

def ask(question):
    import anthropic
    anthropic.Anthropic().messages.create(
        model=MODEL, max_tokens=9, messages=[{"role": "user", "content": question}])
    return RESULT
"""


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        ("Hostile('Lyon')", "and it returned an object of type Hostile"),
        ("Alien()", "it raised RuntimeError: no class"),
        ("Endless()", "it returned [], not text"),
        ("'x' * 10**7", "it returned 'xxx"),
        ("(deep := [], [deep := [deep] for _ in range(9999)])[1][-1]", "not text"),
        ("type('Odd' * 999, (), {})()", "it returned <OddOdd"),
        ("object()", "it returned <object object>, not text"),
    ],
)
def test_hostile_results(result, seen):
    """A result is looked at without calling any of its own methods, and shown short."""
    text = repr(graded(HOSTILE.replace("RESULT", result)))
    assert seen in " ".join(text.split())
    assert len(text) < 1_000


def test_prints_are_kept_short_and_out_of_the_way(capsys):
    """What the function prints shows in the outcome, bounded, and nowhere else."""
    outcome = graded("def ask(question):\n    for _ in range(10**6): print('spam')")
    assert "It printed: spam spam" in repr(outcome)
    assert len(repr(outcome)) < 1_500
    assert capsys.readouterr().out == ""


def test_the_users_own_interrupt_comes_through():
    """Ctrl-C is the learner's: it ends the grading, and everything is put back."""
    real_input = input
    with pytest.raises(KeyboardInterrupt):
        graded("def ask(question):\n    raise KeyboardInterrupt")
    assert input is real_input


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


ANOTHERS_ALARM = """
import signal, sys, time
from course_helpers.learning import sandbox
rung, tracer = [], sys.gettrace()
signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
handler = signal.getsignal(signal.SIGALRM)
signal.setitimer(signal.ITIMER_REAL, 0.3)
ran = sandbox.run(lambda: time.sleep(9), seconds=0.1)
assert isinstance(ran.error, sandbox.TimeUp)
assert signal.getsignal(signal.SIGALRM) is handler and sys.gettrace() is tracer
deadline = time.monotonic() + 9
while not rung and time.monotonic() < deadline: time.sleep(0.01)
print(rung)
"""


def test_the_limit_leaves_no_trace():
    """Alarm, handler and tracing are as before, and an alarm of somebody else's still rings."""
    done = subprocess.run(
        [sys.executable, "-c", ANOTHERS_ALARM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[1]"


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


# exercise: names


def test_an_exercise_that_is_not_there():
    """An exercise goes by its function's name; any other name raises and lists them."""
    with pytest.raises(LookupError, match="ask, raw_call"):
        exercise("aks")


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
