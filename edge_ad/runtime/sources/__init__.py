"""Where samples come from. A source yields `Sample`s in the order they arrive."""
