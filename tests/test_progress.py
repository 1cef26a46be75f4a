"""The learner's progress: private, atomic, safe with two notebooks at once, never lost in silence."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from course_helpers.learning import progress, quiz
from course_helpers.learning.lessons import exercise_id, find_lesson, lessons
from course_helpers.learning.progress import Store, remember, store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for this test alone; it does not exist yet."""
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "data"))
    store.unsaved.clear()
    store.trouble = ""
    return tmp_path / "data"


def pass_lesson(number: int) -> str:
    """Passes all of a lesson; the line that it says at the end."""
    lesson = find_lesson(number)
    return remember(lesson, *lesson.parts)


def test_looking_writes_nothing(home):
    """A learner who only looks leaves nothing behind."""
    assert "0 of 8 lessons complete." in repr(progress())
    assert not home.exists()


def test_the_table():
    """One row a lesson: exercises, quiz and what comes next."""
    remember(find_lesson(1), exercise_id("ask"))
    lines = repr(progress()).splitlines()
    assert lines[0].split() == ["Lesson", "Exercises", "Quiz", "Next"]
    assert " ".join(lines[1].split()) == "1 The raw call 1 of 2 0 of 5 exercise 1.2"
    assert " ".join(lines[8].split()) == "8 Your own chatbot 0 of 10 0 of 3 exercise 8.1"
    assert "<td style='text-align:left'>1 of 2</td>" in progress()._repr_html_()


def test_a_lesson_is_complete_with_exercises_and_quiz():
    """Exercises alone do not complete it; the last question does, and says so, once."""
    lesson = find_lesson("raw_call")
    assert remember(lesson, exercise_id("ask"), exercise_id("raw_call")) == ""
    said = []
    for number, question in enumerate(lesson.questions, 1):
        letter = "abcde"[next(i for i, c in enumerate(question.choices) if c.right)]
        said.append(quiz("raw_call").answer(number, letter))
    assert not any("complete" in line for line in said[:-1])
    assert said[-1].endswith("Lesson 1 is complete. 1 of 8 lessons complete.")
    assert pass_lesson(1) == ""
    assert "✓ complete" in repr(progress())


def test_eight_of_eight_with_some_joy():
    """The last lesson completes the course."""
    lines = [pass_lesson(number) for number in range(1, 9)]
    assert lines[6] == "Lesson 7 is complete. 7 of 8 lessons complete."
    assert "8 of 8 lessons complete!" in lines[7]
    assert "Congratulations" in lines[7]
    assert "8 of 8 lessons complete!" in repr(progress())


def test_a_question_with_new_words_is_to_be_answered_again(monkeypatch):
    """Progress knows a question by its words."""
    pass_lesson(2)
    from dataclasses import replace

    from course_helpers.learning.lessons import Question

    lesson = find_lesson(2)
    changed = replace(
        lesson, questions=(Question("New?", lesson.questions[0].choices), *lesson.questions[1:])
    )
    assert lesson.parts <= store.passed()
    assert not changed.parts <= store.passed()


def test_the_file_is_private_and_small(home):
    """Only its owner reads it, and it holds names of exercises and questions, nothing about the person."""
    pass_lesson(3)
    file = home / "progress.json"
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    data = json.loads(file.read_text())
    assert data.keys() == {"version", "passed"}
    assert set(data["passed"]) == find_lesson(3).parts
    assert sorted(p.name for p in home.iterdir()) == ["progress.json", "progress.lock"]


def test_reset_forgets(home):
    """One call, and everything is as new; it may be called again."""
    pass_lesson(1)
    progress().reset()
    assert store.passed() == set()
    assert not (home / "progress.json").exists()
    progress().reset()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"version": 1, "passed": "ask"}', b"\xff\xfe\x00", b"[" * 99_999]
)
def test_a_damaged_file_is_set_aside(home, content):
    """It is kept under another name, said, and the learner goes on."""
    home.mkdir()
    (home / "progress.json").write_bytes(content)
    assert f"set aside: {home / 'progress.damaged-1.json'}" in repr(progress())
    assert (home / "progress.damaged-1.json").read_bytes() == content
    pass_lesson(1)
    assert "1 of 8" in repr(progress())
    (home / "progress.json").write_bytes(b"{")
    pass_lesson(2)
    assert len(store.set_aside()) == 2


def test_a_file_of_a_newer_release_is_left_alone(home):
    """It is neither read wrongly nor overwritten; progress lasts for the session, and says why."""
    home.mkdir()
    newer = '{"version": 2, "passed": {"ask": 1}}'
    (home / "progress.json").write_text(newer)
    pass_lesson(1)
    assert (home / "progress.json").read_text() == newer
    assert "newer release" in repr(progress())
    assert "1 of 8" in repr(progress())


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """The lesson goes on; progress is kept in memory, said, and saved once the folder can be written."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("COURSE_DATA_DIR", str(blocked))
    assert pass_lesson(1).startswith("Lesson 1 is complete")
    assert "1 of 8" in repr(progress())
    assert "could not be saved" in repr(progress())
    blocked.unlink()
    pass_lesson(2)
    assert "could not be saved" not in repr(progress())
    assert Store().passed() == find_lesson(1).parts | find_lesson(2).parts


def test_many_notebooks_at_once(home):
    """Eight processes that write at the same time lose nothing of each other."""
    code = (
        "import sys\n"
        "from course_helpers.learning.progress import store\n"
        "for i in range(25): store.add(f'item {sys.argv[1]} {i}')\n"
        "assert not store.trouble, store.trouble\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(8)]
    assert [worker.wait(60) for worker in workers] == [0] * 8
    assert store.passed() == {f"item {n} {i}" for n in range(8) for i in range(25)}
    assert not list(home.glob(".*"))


def test_a_full_disk_keeps_the_old_file(home):
    """The file is replaced as a whole or not at all."""
    resource = pytest.importorskip("resource")
    pass_lesson(1)
    code = "from course_helpers.learning.progress import store; store.add('x' * 999); print(store.trouble)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "File too large"
    assert set(json.loads((home / "progress.json").read_text())["passed"]) == find_lesson(1).parts
    assert not list(home.glob(".*"))


def test_without_a_folder_named_it_lives_in_the_users_data(monkeypatch):
    """platformdirs says where."""
    import platformdirs

    monkeypatch.delenv("COURSE_DATA_DIR")
    assert store.path.parent == platformdirs.user_data_path("llm-api-course", appauthor=False)


def test_every_lesson_can_be_completed():
    """Each has exercises and a quiz, and no two share a part."""
    parts = [part for lesson in lessons() for part in lesson.parts]
    assert len(parts) == len(set(parts))
    assert [len(lesson.exercises) for lesson in lessons()] == [2] * 7 + [10]
