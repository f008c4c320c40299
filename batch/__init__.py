"""Rows in, answers out: `qchat batch`. See batch/run.py for how the parts fit together."""
