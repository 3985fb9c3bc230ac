"""Registration of a real CT pair, judged by landmarks: ``python -m impact_plugin.demo --help``.

The images, landmarks and the TotalSegmentator layer are test data of elastix (its ``Testing``
folder).
"""
