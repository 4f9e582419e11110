"""One room a chapter, named as its notebook's id (Python 3.7 on)."""
