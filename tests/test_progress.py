"""The learner's progress (private files, one an event), guesses and quizzes."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
import pytest

from course_helpers.learning import guess, quiz
from course_helpers.learning import progress as table
from course_helpers.learning.progress import Question, find_lesson, lessons, passed_parts, record_try, store
from course_helpers.learning.questions import guess_widget, quiz_widget


@pytest.fixture(autouse=True)
def home() -> Path:
    """The data folder of this test, which does not exist yet."""
    store.__init__()
    return store.folder


def pass_lesson(number: int) -> str:
    """Passes all of a lesson; the line that it says at the end."""
    return [record_try(part, passed=True) for part in sorted(find_lesson(number).parts)][-1]


def answer(lesson: int, *picked: str) -> dict:
    """What the page is told when these choices are checked; the questions after them stay open."""
    questions, widget, sent = find_lesson(lesson).questions, quiz_widget(find_lesson(lesson)), []
    assert [choices for _, choices in widget.questions] == [question.choices for question in questions]
    widget.send = sent.append
    widget._handle_custom_msg({"check": [*picked, *[""] * (len(questions) - len(picked))]}, [])
    assert [message["summary"] for message in sent] == [widget.summary]
    return sent[0]


def type_guess(name: str, typed: str) -> str:
    """What is said to a guess, a number of tokens."""
    field, said = guess_widget(name, "tokens").children
    field.value = typed
    return said.value


def events(home: Path) -> list[dict]:
    """What the files hold, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted((home / "events").glob("*.json"))]


def test_from_nothing_to_the_end(home):
    """Looking writes nothing; a row a lesson; the last part of one says so, once; at the end some joy."""
    assert "0 of 8 lessons complete." in repr(table())
    assert not home.exists()
    assert record_try("ask", passed=True) == ""
    lines = [" ".join(line.split()) for line in repr(table()).splitlines()]
    assert lines[0] == "Lesson Exercises Quiz Next"
    assert lines[1] == "1 The raw call 1 of 2 0 of 5 exercise 1.2"
    assert lines[8] == "8 Your own chatbot 0 of 10 0 of 3 exercise 8.1"
    assert "<td>1 of 2</td>" in table()._repr_html_()
    said = [pass_lesson(number) for number in range(1, 9)]
    assert said[6] == "Lesson 7 is complete. 7 of 8 lessons complete."
    assert "8 of 8 lessons complete." in said[7]
    assert "Congratulations" in repr(table())
    assert pass_lesson(1) == ""


def test_a_question_with_new_words_is_to_be_answered_again():
    """Progress knows a question by its words, and no two lessons share a part."""
    pass_lesson("2")
    lesson = find_lesson("02")
    new = Question(ask="New?", right="Yes", why="It is.", wrong={})
    other = lesson.model_copy(update={"questions": (new, *lesson.questions[1:])})
    passed = passed_parts(store.events())
    assert (lesson.parts <= passed, other.parts <= passed) == (True, False)
    parts = [part for each in lessons() for part in each.parts]
    assert len(parts) == len(set(parts))
    with pytest.raises(LookupError, match="'raw_call', 'roles'"):
        quiz("rawcall")


def test_one_small_private_file_an_event(home):
    """Written once, read by its owner alone, never changed by what follows; no text of an answer in it."""
    question = find_lesson(1).questions[0]
    wrong = next(choice for choice in question.choices if choice != question.right)
    answer(1, wrong)
    record_try("ask", passed=False, mistake="not the text")
    first = {path: path.read_bytes() for path in (home / "events").iterdir()}
    record_try("ask", passed=True)
    type_guess("tokens", "12")
    guess.reveal("tokens", 24)
    assert {path: path.read_bytes() for path in first} == first
    kinds = ["question", "exercise", "exercise", "guess", "truth"]
    assert [event["kind"] for event in events(home)] == kinds
    assert wrong[:20] not in str(events(home))
    if os.name == "posix":
        assert {stat.S_IMODE(p.stat().st_mode) for p in (home / "events").iterdir()} == {0o600}
        assert stat.S_IMODE((home / "events").stat().st_mode) == 0o700
    with ThreadPoolExecutor(4) as pool:  # no two meet in a file
        list(pool.map(lambda number: store.add("exercise", str(number)), range(200)))
    assert len(events(home)) == 205


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"passed": 1}', b"\xff\xfe\x00", b"[" * 99_999])
def test_files_of_release_1_0_and_damaged_ones(home, content):
    """What 1.0 knew counts; a damaged file is kept as it is, and the learner goes on; reset forgets all."""
    (home / "events").mkdir(parents=True)
    for damaged in (home / "progress.json", home / "events" / "1.json"):
        damaged.write_bytes(content)
    pass_lesson(2)
    assert "1 of 8" in repr(table())
    assert damaged.read_bytes() == content
    parts = [part if " " in part else f"exercise {part}" for part in find_lesson(1).parts]
    (home / "progress.json").write_text(json.dumps({"version": 1, "passed": parts}))
    assert "2 of 8 lessons complete." in repr(table())
    table(export=home / "progress of ada.json")
    table().reset()
    assert "0 of 8 lessons complete." in repr(table())
    assert [path.name for path in home.glob("**/*.json")] == ["progress of ada.json"]


@pytest.mark.skipif(os.name != "posix", reason="such places are POSIX's")
@pytest.mark.parametrize("named", ["/dev/null", "~no-such-user", "no-home"])
def test_without_a_place_the_lesson_goes_on_and_says_so_once(named, tmp_path, monkeypatch, capsys):
    """A wrong folder, no home: answers are judged as ever, and nothing is strewn about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA_DIR", named)
    if named == "no-home":
        for name in ("COURSE_DATA_DIR", "HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user without an entry
    reason = "Not a directory|File exists" if named == "/dev/null" else ".*home directory.*"
    told = answer(1, find_lesson(1).questions[0].right)
    said = f"{told['summary']} {type_guess('g', '3')}"
    assert len(re.findall(rf"cannot be saved here \(({reason})\)", said)) == 1
    assert told["feedback"][0].startswith("✓ Right. ")
    assert "cannot be saved" in repr(table())
    assert "1 of 5" in repr(table())
    assert not [*tmp_path.rglob("*")]


def test_where_it_is(tmp_path, monkeypatch):
    """In the user's data; in a browser tab where JupyterLite keeps notebooks: that outlives a reload."""
    monkeypatch.delenv("COURSE_DATA_DIR")
    assert store.folder == platformdirs.user_data_path("llm-api-course", appauthor=False)
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(sys.modules[Question.__module__], "DRIVE", tmp_path / "drive")
    record_try("ask", passed=True)
    assert len(events(tmp_path / "drive")) == 1


def test_export(tmp_path, capsys):
    """All events, under the name of the file; no other file is lost."""
    record_try("ask", passed=False, mistake="no request")
    for path in (tmp_path / "Ada L.json", str(tmp_path / "Ada L.json")):
        assert "0 of 8" in repr(table(export=path))
        assert "the name Ada L, tries, passes" in capsys.readouterr().out
    kept = json.loads((tmp_path / "Ada L.json").read_text(encoding="utf-8"))
    assert kept["learner"] == "Ada L"
    assert [event["mistake"] for event in kept["events"]] == ["no request"]
    (tmp_path / "other.json").write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match="choose another name"):
        table(export=tmp_path / "other")


def test_guess_and_truth(capsys):
    """The number that was typed, and how far off it was; a sentence about what is none."""
    guess("tokens", 2e-7, unit="tokens")
    guess.reveal("tokens", 400)
    for typed, value in {"399": "399", "3,00": "300", "about $1,000": "1,000", "00.50": "0.5"}.items():
        assert type_guess("tokens", typed) == f"Your guess: {value} tokens."
        guess.reveal("tokens", 400)
    guess.reveal("never asked", 0.5)
    assert capsys.readouterr().out.splitlines() == [
        "Your guess: 2e-07 tokens.",
        "It is 400 tokens. You guessed 2e-07: over 99 % off.",
        "It is 400 tokens. You guessed 399: under 1 % off.",
        "It is 400 tokens. You guessed 300: 25 % off.",
        "It is 400 tokens. You guessed 1,000: 150 % off.",
        "It is 400 tokens. You guessed 0.5: over 99 % off.",
        "It is 0.5.",
    ]
    assert "no number" in type_guess("tokens", "many")


def test_the_questions():
    """Three to five a lesson, one right choice each, which can neither be guessed by place nor by length."""
    questions = [question for lesson in lessons() for question in lesson.questions]
    for question in questions:
        said = [question.feedback(choice) for choice in question.choices]
        assert 3 <= len(set(said)) == len(set(question.choices)) <= 5, question.text
        assert all(len(each) > 30 for each in said), question.text
    places = [question.choices.index(question.right) for question in questions]
    assert max(places.count(place) for place in places) < 0.5 * len(questions)
    for lesson in lessons():
        assert 3 <= len(lesson.questions) <= 5, lesson.name
        longest = [max(q.choices, key=len) == q.right for q in lesson.questions]
        assert sum(longest) <= len(longest) / 2, lesson.name
