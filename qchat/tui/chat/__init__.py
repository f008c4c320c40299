"""The conversation that is shown: storing, requesting and drawing it, and the actions on it.

Only `app` and its parts import from here.
"""
