"""What a user may type: `words.py` has the words, and loads a module of this room when asked."""
