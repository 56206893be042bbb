"""Every training objective: inputs -> (sum, count, gradient of the sum). One objective a file."""
