"""Words: their characters, their vectors, what stands for them in another language, and streams of them."""
