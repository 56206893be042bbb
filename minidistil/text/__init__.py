"""From files of text to batches of token ids: readers, labels, tokenizer, datasets, batching."""
