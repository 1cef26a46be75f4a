"""What makes a lesson more than reading: checked claims, exercises, guesses, quizzes and progress."""

from .exercises import CheckFailed, Outcome, check, exercise
from .progress import progress
from .questions import guess, quiz
from .report_card import report_card

__all__ = ["CheckFailed", "Outcome", "check", "exercise", "guess", "progress", "quiz", "report_card"]
