"""The transcript: a whole conversation as one column of lines, of which only the visible are drawn.

Others import `transcript.Transcript`, `message.Message` and `answer_stats`.
"""
