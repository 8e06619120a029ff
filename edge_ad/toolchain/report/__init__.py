"""What a build tells people: the summary file and the comparison table."""
