"""What is laid over the conversation: help, pickers, parameters, search.

Each screen returns its result through `dismiss`; none of them knows the application.
"""
