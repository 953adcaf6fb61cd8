"""`stream demo`: two models learn from one real stream, a worker is killed, and nothing is lost.

It drives the program from outside, by its command line and its topics, as a user would, and then
compares every published prediction with a plain loop that knows nothing of it (`plain_loop.py`).
Then once more with labels that come a day late (`late.py`).
"""
