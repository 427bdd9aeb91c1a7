"""The results page: what is kept in bench/results, as tables and plots in Markdown, a file for each kind of section."""
