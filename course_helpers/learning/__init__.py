"""What makes a lesson more than reading: checked claims, exercises, quizzes and progress."""

from .exercises import CheckFailed, Outcome, check, exercise
from .progress import progress
from .quizzes import quiz

__all__ = ["CheckFailed", "Outcome", "check", "exercise", "progress", "quiz"]
