"""Tests of the region itself, through the same SDK that others use: `python -m unittest discover -s region/tests -t .`"""
