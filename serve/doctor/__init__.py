"""`qchat doctor`: checks of this machine, the installation, settings and servers, a file each.

Only the command line names it (`command`).
"""
