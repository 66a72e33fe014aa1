"""What `pipelines.predict` is made of: inputs of all sorts, the network that answers, batches, files of answers."""
