"""The figures of the lessons. Each takes a frame, draws on `ax` or makes a figure, and returns the Axes.

A figure made here has every panel; a given `ax` gets the first alone. `caption(ax)` says in words what is to
be seen: text to print, and the image's alternative text. Nothing depends on colour alone.
"""

from .costs import plot_models, plot_session, plot_strategies, plot_tiers, plot_turn_tokens
from .sessions import plot_forecast, plot_sessions
from .theme import caption
from .timelines import plot_attempts, plot_crowd, plot_first_token

__all__ = ["caption", "plot_attempts", "plot_crowd", "plot_first_token", "plot_forecast", "plot_models"]
__all__ += ["plot_session", "plot_sessions", "plot_strategies", "plot_tiers", "plot_turn_tokens"]
