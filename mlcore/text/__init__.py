"""From texts to arrays: tokens, vocabulary, and the readers of data files."""
