"""What the compiled modules cost, one by one and without processes: `python -m bench.micro`, a file for each room.

Each file has CASES (case.py). The runner (`__main__.py`) measures them with pyperf; the tests run each with next to
nothing to do, so that none can rot.
"""
