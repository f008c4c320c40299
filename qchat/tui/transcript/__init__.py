"""A whole conversation as one column of lines, of which only what is visible is drawn.

Others import `transcript.Transcript` and `message.Message`.
"""
