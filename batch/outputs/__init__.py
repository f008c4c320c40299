"""Write the results of a finished run as a table: CSV, TSV or Parquet.

`run` imports `export`. The journal stays the truth; a table can be written again at any time.
"""
