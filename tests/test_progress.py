"""The learner's progress and guesses: private files, one an event; safe with many notebooks at once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from course_helpers.learning import guess, quiz
from course_helpers.learning import progress as table
from course_helpers.learning.progress import (
    Question,
    Store,
    exercise_id,
    find_lesson,
    lessons,
    passed,
    record_answer,
    record_try,
    store,
)
from course_helpers.learning.questions import how_far


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a record for this test alone; the folder does not exist yet."""
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "data"))
    store.__init__()
    return tmp_path / "data"


def pass_lesson(number: int) -> str:
    """Passes all of a lesson; the line that it says at the end."""
    lesson = find_lesson(number)
    for exercise in lesson.exercises:
        record_try(exercise.name, passed=True)
    return [record_answer(question.id, right=True) for question in lesson.questions][-1]


def events(home: Path) -> list[dict]:
    """What the files hold, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted((home / "events").glob("*.json"))]


def test_from_nothing_to_the_end(home):
    """Looking writes nothing; a row a lesson; the last part of one says so, once; at the end some joy."""
    assert "0 of 8 lessons complete." in repr(table())
    assert not home.exists()
    assert [record_try(name, passed=True) for name in ("ask", "ask")] == ["", ""]
    lines = [" ".join(line.split()) for line in repr(table()).splitlines()]
    assert lines[0] == "Lesson Exercises Quiz Next"
    assert lines[1] == "1 The raw call 1 of 2 0 of 5 exercise 1.2"
    assert lines[8] == "8 Your own chatbot 0 of 10 0 of 3 exercise 8.1"
    assert "<td>1 of 2</td>" in table()._repr_html_()
    said = [pass_lesson(number) for number in range(1, 9)]
    assert said[6] == "Lesson 7 is complete. 7 of 8 lessons complete."
    assert "8 of 8 lessons complete!" in said[7]
    assert "Congratulations" in repr(table())
    assert pass_lesson(1) == ""


def test_a_question_with_new_words_is_to_be_answered_again():
    """Progress knows a question by its words, and no two lessons share a part."""
    pass_lesson(2)
    lesson = find_lesson(2)
    new = Question(ask="New?", right="Yes", why="It is.", wrong={})
    assert lesson.parts <= passed(store.events())
    assert not lesson.model_copy(update={"questions": (new, *lesson.questions[1:])}).parts <= passed(
        store.events()
    )
    parts = [part for each in lessons() for part in each.parts]
    assert len(parts) == len(set(parts))


def test_one_small_private_file_an_event(home):
    """Written once, read by its owner alone, never changed by what follows; no text of an answer in it."""
    wrong = next(c for c in find_lesson(1).questions[0].choices if not c.right)
    quiz(1).answer(1, "abcd"[find_lesson(1).questions[0].choices.index(wrong)])
    record_try("ask", passed=False, mistake="not the text")
    first = {path: path.read_bytes() for path in (home / "events").iterdir()}
    record_try("ask", passed=True)
    guess("tokens", 12, unit="tokens")
    guess.reveal("tokens", 24)
    assert {path: path.read_bytes() for path in first} == first
    kinds = ["question", "exercise", "exercise", "guess", "truth"]
    assert [event["kind"] for event in events(home)] == kinds
    assert wrong.text[:20] not in str(events(home))
    if os.name == "posix":
        assert {stat.S_IMODE(p.stat().st_mode) for p in (home / "events").iterdir()} == {0o600}
        assert {stat.S_IMODE(p.stat().st_mode) for p in (home, home / "events")} == {0o700}


@pytest.mark.slow
def test_many_notebooks_at_once(home):
    """Four processes that write 200 events each lose none, and leave no other file."""
    code = (
        "import sys\n"
        "from course_helpers.learning.progress import store\n"
        "for i in range(200): store.add('exercise', f'{sys.argv[1]} {i}', passed=True)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(4)]
    assert [worker.wait(100) for worker in workers] == [0] * 4
    assert passed(store.events()) == {exercise_id(f"{n} {i}") for n in range(4) for i in range(200)}
    assert len(list((home / "events").iterdir())) == 800


def test_the_file_of_release_1_0_is_read_once(home):
    """What it holds stands among the events from then on; reset forgets both."""
    home.mkdir()
    old = home / "progress.json"
    old.write_text(json.dumps({"version": 1, "passed": sorted(find_lesson(1).parts)}))
    assert "1 of 8 lessons complete." in repr(table())
    table(export=home / "progress of ada.json")
    table().reset()
    table().reset()
    assert "0 of 8 lessons complete." in repr(table())
    assert [path.name for path in home.glob("**/*.json")] == ["progress of ada.json"]


@pytest.mark.parametrize("name", ["progress.json", "events/1.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b'{"passed": "ask"}', b"\xff\xfe\x00", b"[" * 99_999])
def test_a_damaged_file_is_left_alone(home, content, name):
    """It is kept as it is, and the learner goes on."""
    (home / "events").mkdir(parents=True)
    (home / name).write_bytes(content)
    pass_lesson(1)
    assert "1 of 8" in repr(table())
    assert (home / name).read_bytes() == content


# Where nothing can be saved

LEARN = """
import json, os, resource, sys
from course_helpers.learning import exercise, guess, progress, quiz
from course_helpers.learning.progress import store
variables, user = json.loads(sys.argv[1])
def ask(question): return question
os.environ["COURSE_DATA_DIR"] = "/dev/null"
print(exercise("ask"), quiz(1).answer(1, "a"), file=sys.stderr)  # loads what this user may not read
store.__init__()
for name in ("HOME", "COURSE_DATA_DIR"): os.environ.pop(name, None)
os.environ.update(variables)
if user: os.setgid(user); os.setuid(user)
if "COURSE_DISK" in variables: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
print(quiz(1).answer(1, "a"), quiz(1).answer(1, "b"), quiz(1).answer(1, "c"), quiz(1).answer(1, "d"))
print(exercise("ask")); guess("g", 3, unit="tokens")
print(progress()); progress().reset()
"""


MORE = pytest.mark.slow


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("variables", "user", "reason"),
    [
        ({}, 54_321, "there is no home folder"),
        pytest.param({"HOME": "/nonexistent"}, 0, "there is no home folder", marks=MORE),
        ({"COURSE_DATA_DIR": "~nobody"}, 0, "there is no home folder"),
        pytest.param(
            {"COURSE_DATA_DIR": "~no-such-user"}, 0, "there is no home folder", marks=pytest.mark.slow
        ),
        pytest.param(
            {"COURSE_DATA_DIR": "/proc/progress"}, 0, "No such file or directory", marks=pytest.mark.slow
        ),
        pytest.param({"COURSE_DATA_DIR": "/dev/null"}, 0, "File exists", marks=MORE),
        ({"COURSE_DATA_DIR": "full", "COURSE_DISK": "full"}, 0, "File too large"),
    ],
)
def test_without_a_place_the_lesson_goes_on_and_says_so_once(variables, user, reason, tmp_path):
    """No home, a wrong folder, a full disk: answers are judged as ever, and no file is strewn about."""
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", LEARN, json.dumps([variables, user])],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    before, _, after = (" ".join(part.split()) for part in done.stdout.partition("Lesson  "))
    said = f"Your progress cannot be saved here ({reason})"
    assert [before.count(said), after.count(said)] == [1, 1]
    assert "✓ Right." in before
    assert "no request reached the API" in before
    assert "1 of 5" in after
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_where_it_is(tmp_path, monkeypatch):
    """In the user's data; in a browser tab where JupyterLite keeps notebooks: that outlives a reload."""
    import platformdirs

    monkeypatch.delenv("COURSE_DATA_DIR")
    assert store.folder == platformdirs.user_data_path("llm-api-course", appauthor=False)
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert "this page gives notebooks no storage" in record_try("ask", passed=True)
    monkeypatch.setattr(sys.modules[Store.__module__], "DRIVE", tmp_path)
    record_try("ask", passed=True)
    assert len(events(tmp_path / "course-progress")) == 2


# Guesses, and what a teacher gets


def test_guess_and_truth(capsys):
    """The number, and how far off it was."""
    assert guess("tokens", 300, unit="tokens") is None
    guess.reveal("tokens", 400)
    guess("tokens", 399, unit="tokens")
    guess.reveal("tokens", 400)
    guess.reveal("never asked", 0.5)
    assert capsys.readouterr().out.splitlines() == [
        "Your guess: 300 tokens.",
        "It is 400 tokens. You guessed 300: 25 % too low.",
        "Your guess: 399 tokens.",
        "It is 400 tokens. You guessed 399: right.",
        "It is 0.5.",
    ]
    far = {(51, 100): "49 % too low", (300, 100): "too high, 3 times", (0.001, 0.1): "too low, 100 times"}
    far |= {(5, 0): "5 too high", (-5, 5): "10 too low", (0, 0): "right"}
    assert {pair: how_far(*pair) for pair in far} == far


def test_a_guess_in_a_notebook():
    """A field whose number is remembered, and a sentence about what is none."""
    asked = guess("seconds", unit="seconds")
    assert repr(asked) == "Your guess (seconds): write it as guess('seconds', 100, unit='seconds')."
    field, said = asked.widget().children
    field.value = "1,500"
    assert said.value == "Your guess: 1,500 seconds."
    assert store.events()[-1]["value"] == 1_500
    for value in ("many", "nan"):
        field.value = value
        assert "no number" in said.value
    for value in ("12", True, [1], float("nan"), 1j):
        with pytest.raises((TypeError, ValueError), match=r"are (finite )?numbers, not"):
            guess("seconds", value, unit="seconds")


def test_export(tmp_path):
    """All events, under the name of the file; no other file is lost."""
    record_try("ask", passed=False, mistake="no request")
    assert "the name Ada L, tries, passes" in repr(table(export=tmp_path / "Ada L.json"))
    table(export=str(tmp_path / "Ada L.json"))
    kept = json.loads((tmp_path / "Ada L.json").read_text(encoding="utf-8"))
    assert kept["learner"] == "Ada L"
    assert [event["mistake"] for event in kept["events"]] == ["no request"]
    (tmp_path / "other.json").write_text('{"mine": 1}')
    for name, words in (("other.json", "choose another name"), ("ada", r'export="ada.json"')):
        with pytest.raises((FileExistsError, ValueError), match=words):
            table(export=tmp_path / name)
