"""Modal screens over the conversation: help, pickers, parameters, search.

Each screen returns its result by `dismiss`; none imports the app.
"""
