"""What the tools of analysts are given: packages made of the definition and of its views.

Nothing here opens a connection or says a word of a column by itself: descriptions, keys, tests and
measures follow from the definition and from what each view says of itself, so they cannot differ from it.
"""

from __future__ import annotations
