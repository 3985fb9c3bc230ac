"""Running elastix in a process of its own, and reading what it writes.

A registration may take hours and gigabytes, and may crash; in its own process none of that harms
the caller, who can end it at any time. The process starts in about 50 ms, since it imports neither
itk nor torch's Python side.
"""
