"""`warren perf`: the load tool. What it does is in bench/perf; here are its commands and options."""
