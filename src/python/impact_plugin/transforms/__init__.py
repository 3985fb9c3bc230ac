"""Transforms: elastix's parameter files, SimpleITK's objects, and the way from each to the other.

A *chain* is a list of elastix's transform parameter maps in the order in which they are applied to
a point of the fixed image: the initial transform first.
"""
