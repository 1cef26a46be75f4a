"""A lesson in JupyterLab, before the learner has done anything."""

from __future__ import annotations

import pytest

from course_helpers.__main__ import NOTEBOOKS, settle


@pytest.fixture
def settled():
    """The installation as `make lab` leaves it: a kernel reads its settings when it starts."""
    settle()


def test_opening_a_lesson_changes_nothing(settled, lab):
    """JupyterLab notes in the file what the kernel says of itself: it must be what stands there."""
    lab.open(NOTEBOOKS / "01_raw_call.ipynb")
    noted, dirty = lab.page.evaluate(
        """async () => {
            const { context, sessionContext } = jupyterapp.shell.currentWidget;
            const answer = await sessionContext.session.kernel.info;
            await new Promise(requestAnimationFrame);
            return [answer.language_info, context.model.dirty];
        }"""
    )
    assert noted["file_extension"] == ".py"
    assert not dirty
