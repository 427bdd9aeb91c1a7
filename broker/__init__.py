"""The program: command line, settings, supervisor, catalog, logging."""
