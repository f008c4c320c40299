"""For all tests."""

from hypothesis import settings

# No deadline for one example: a busy machine is no failure.
settings.register_profile("qchat", deadline=None)
settings.load_profile("qchat")
