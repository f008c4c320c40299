"""The options of `qchat batch`, typed once at the command line's edge.

Each module has one group of options, as a frozen dataclass and a decorator that adds the options
and passes the command one such value. `groups` arranges them in the help.
"""
