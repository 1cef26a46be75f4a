"""What makes a lesson more than reading: checked claims, exercises, quizzes and progress."""

from .grading import CheckFailed, Outcome, check, exercise
from .quizzes import quiz
from .record import progress

__all__ = ["CheckFailed", "Outcome", "check", "exercise", "progress", "quiz"]
