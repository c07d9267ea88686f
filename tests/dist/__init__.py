"""Tests of what users get: the one file, and the packages."""
