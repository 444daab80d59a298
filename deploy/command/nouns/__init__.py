"""One module for each noun of the command line: a table of what can be done with it."""
