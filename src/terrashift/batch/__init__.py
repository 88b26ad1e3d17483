"""How are many pairs measured? A table of pairs in, a result for each and a table of results out."""
