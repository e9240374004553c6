"""Jobs: phases of runs for workers to carry out."""
