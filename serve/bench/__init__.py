"""`qchat bench`: measure an OpenAI-compatible server, from load to report.

Only the command line names it (`command`).
"""
