"""The load tool behind `warren perf`: how fast a broker is, and whether all arrives. See bench/README.md."""
