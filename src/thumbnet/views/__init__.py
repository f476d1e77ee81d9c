"""UTILITIES to look at: summary, graph, curves, galleries. The only package that imports a plotting library."""
