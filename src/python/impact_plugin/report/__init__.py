"""Registrations and features as pictures and pages.

They need matplotlib and jinja2 (``pip install "impact-plugin[report]"``) and no display.
"""
