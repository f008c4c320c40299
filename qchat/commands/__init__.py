"""The small commands of the command line: ask, chats, models, config, recipes, completion.

Only `qchat.cli` names them, as strings; no other part imports from here.
"""
