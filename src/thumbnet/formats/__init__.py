"""FORMATS: how the package's files are read: typed values, tables, JSON without NaN; a field more is no damage."""
