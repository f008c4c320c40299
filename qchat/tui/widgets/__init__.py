"""The widgets around transcript and composer: sidebar, status line, notes above the composer."""
