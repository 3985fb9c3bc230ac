"""Registration of a real CT pair, judged by landmarks: ``impact-plugin demo --help``.

The images, landmarks and the TotalSegmentator layer are test data of elastix (its ``Testing``
folder).
"""
