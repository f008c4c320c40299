"""What the chat's benches show: an answer of about 300 characters."""

FRAME = 1 / 60  # seconds

ANSWER = """## An answer

A paragraph with **some** words and `code`, long enough to be wrapped once on a screen of this
width, as answers are.

- first point
- second point, with a [link](https://example.com)

```python
def add(a: int, b: int) -> int:
    return a + b
```
"""
