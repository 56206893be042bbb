"""Embeddings of sentences, and what is done with them: search, clusters, bitext, word alignment."""
