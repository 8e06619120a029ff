"""Where samples come from: sources of lines, and the decoders that make samples of them."""
