"""Tests of the practice API, over HTTP."""
