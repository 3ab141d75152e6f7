"""The mutation proof of the kit: it breaks every shipped backend, and counts what ``adapter test`` notices.

``python -m tests.mutation`` runs all of it: see docs/testing.md.
"""
