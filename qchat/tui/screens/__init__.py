"""Modal screens over the conversation: help, pickers, parameters, search.

Pickers and search return their result by `dismiss`. No screen imports the app.
"""
