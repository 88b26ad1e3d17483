"""The verbs of the command line, one room per kind of work: options in, one call of the package, results out."""
