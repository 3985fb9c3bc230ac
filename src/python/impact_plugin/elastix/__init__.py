"""Running elastix in a process of its own, and reading what it writes.

A registration may take hours, gigabytes and the wrong file: in its own process none of that harms
the caller. It starts in some 50 ms, since it imports neither itk nor torch's Python side, and
whoever holds it can end it at once.
"""
