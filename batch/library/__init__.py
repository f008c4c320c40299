"""Batches from Python: `run_batch` and `abatch`, which `qchat.batch` offers.

`options` and `rows` make a job of what a program gives; `background_run` runs it in a thread with
an event loop of its own; `journal_reader` and `results` turn what it records into typed results;
`batches` has the two doors.
"""
