"""What a Warren takes in memory, by connection, queue, binding and message, and how its cost grows with their number.

`python -m bench.footprint` or `warren perf footprint`. Each subject starts a broker of its own.
"""
